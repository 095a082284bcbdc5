# Reliabilities of SYNTHETIC answers (reliability.csv: 60 persons, 5 sessions, 4 items) by psych: generalizability
# coefficients of Cranford et al. (2006) by ANOVA and by lme (sessions nested in persons), alpha, one-factor omega.
suppressMessages(library(psych))
d <- read.csv("reliability.csv")
fit <- suppressWarnings(mlr(d, grp = "id", Time = "time", items = c("i1", "i2", "i3", "i4"), alpha = FALSE, icc = FALSE,
                            lme = TRUE, lmer = FALSE, plot = FALSE))
options(digits = 10)
print(unlist(fit[c("Rkf", "RkF", "R1R", "RkR", "Rc", "RkRn", "Rcn")]))
print(fit$ANOVA)
print(fit$components)
first <- d[d$time == 1, 3:6]
cat("alpha", psych::alpha(first)$total$raw_alpha, "\n")
f <- fa(first, nfactors = 1, fm = "minres", covar = TRUE)
l <- sum(f$loadings)^2
cat("omega", l / (l + sum(f$uniquenesses)), "\n")
