# Growth with residuals in series (autoregression of first order over gaps): RefraMED, PHQ-9, months 0 to 12.
# Run from the folder of the data: Rscript series.R > series.txt
library(nlme)
d <- read.csv("reframed_rct.csv")
d <- d[!is.na(d$phq9) & d$month <= 12, ]
d$treated <- as.integer(d$grp == "RO-DBT")
cat("versions:", R.version.string, "nlme", as.character(packageVersion("nlme")), "\n")
for (how in c("REML", "ML")) {
  fit <- lme(phq9 ~ month * treated, d, random = ~ month | patient, correlation = corCAR1(form = ~ month | patient),
             method = how, control = lmeControl(opt = "optim", msMaxIter = 500, maxIter = 500))
  cat("\n", how, "rows", nrow(d), "patients", length(unique(d$patient)), "logLik", format(as.numeric(logLik(fit)), digits = 12), "\n")
  print(summary(fit)$tTable[, 1:2], digits = 12)
  v <- getVarCov(fit)
  cat("SD", format(sqrt(diag(v)), digits = 12), "\n")
  cat("cor", format(cov2cor(v)[1, 2], digits = 12), "\n")
  cat("sigma", format(fit$sigma, digits = 12), "\n")
  cat("phi", format(coef(fit$modelStruct$corStruct, unconstrained = FALSE), digits = 12), "\n")
}
