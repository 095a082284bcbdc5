# Change by visit with unstructured residuals (the MMRM of trials): RefraMED, HRSD at 0, 7, 12 and 18 months.
# Run from the folder of the data: Rscript visits.R > visits.txt
library(nlme)
d <- read.csv("reframed_rct.csv")
d <- d[!is.na(d$hamd), ]
d$visit <- factor(d$month)
d$order <- as.integer(d$visit)
d$treated <- as.integer(d$grp == "RO-DBT")

cov_of <- function(fit, id) {
  v <- getVarCov(fit, individual = id)
  list(sd = sqrt(diag(v)), cor = cov2cor(v))
}
cat("versions:", R.version.string, "nlme", as.character(packageVersion("nlme")), "\n")
for (arm in c("TAU", "RO-DBT")) {
  own <- d[d$grp == arm, ]
  for (how in c("REML", "ML")) {
    fit <- gls(hamd ~ visit, own, correlation = corSymm(form = ~ order | patient),
               weights = varIdent(form = ~ 1 | visit), method = how)
    cat("\n", arm, how, "rows", nrow(own), "patients", length(unique(own$patient)), "logLik", logLik(fit), "\n")
    print(summary(fit)$tTable, digits = 10)
    whole <- names(which(table(own$patient) == 4))[1]
    found <- cov_of(fit, whole)
    cat("SD", format(found$sd, digits = 8), "\n")
    print(found$cor, digits = 8)
  }
}
for (how in c("REML", "ML")) {
  fit <- gls(hamd ~ visit * treated, d, correlation = corSymm(form = ~ order | patient),
             weights = varIdent(form = ~ 1 | visit), method = how)
  cat("\n common", how, "rows", nrow(d), "patients", length(unique(d$patient)), "logLik", logLik(fit), "\n")
  print(summary(fit)$tTable, digits = 10)
  whole <- names(which(table(d$patient) == 4))[1]
  found <- cov_of(fit, whole)
  cat("SD", format(found$sd, digits = 8), "\n")
  print(found$cor, digits = 8)
}
