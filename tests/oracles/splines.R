# Natural cubic splines of R's package splines at stated knots; prints splines.txt.
library(splines)
x <- c(-1, 0, 0.5, 1, 2, 3.3, 5, 8, 9.5, 10, 12)
cat(R.version.string, "\n")
print(unclass(ns(x, knots = c(2, 5), Boundary.knots = c(0, 10)))[, 1:3], digits = 10)
print(ns(x, Boundary.knots = c(0, 10))[, 1], digits = 10)
week <- rep(1:8, 5)
print(attr(ns(week, df = 4), "knots"))
