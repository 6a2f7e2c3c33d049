#!/usr/bin/env python3
"""References for src/verify/stats from scipy and statsmodels, and from plain scans over every count.

    python tests/oracle/stats.py            # writes tests/golden/stats.json

Needs scipy and statsmodels. The scans are the definitions of the design written down directly: slow, and
without any of the shortcuts of the Rust code.
"""
import hashlib
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy
import statsmodels
from scipy.optimize import brentq
from scipy.stats import beta, binom, hypergeom
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

HERE = Path(__file__).resolve()
ALPHA = 0.05


def binomial_rows():
    rows = []
    for n, p in [(20, 0.751), (20, 0.02), (1000, 0.5), (5000, 0.8), (50000, 0.751), (50000, 0.999)]:
        sd = (n * p * (1 - p)) ** 0.5
        for z in (-6, -2, -0.5, 0, 0.5, 2, 6):
            k = int(min(n, max(0, round(n * p + z * sd))))
            rows.append(dict(k=k, n=n, p=p, pmf=binom.pmf(k, n, p), cdf=binom.cdf(k, n, p), sf=binom.sf(k - 1, n, p)))
    return rows


def hypergeometric_exact(k, N, K, n):
    """pmf, cdf and sf in exact integers: scipy's hypergeometric loses digits at large N."""
    from math import comb
    total = comb(N, n)
    terms = {j: comb(K, j) * comb(N - K, n - j) for j in range(max(0, n - N + K), min(n, K) + 1)}
    f = lambda s: float(Fraction(s, total))
    return f(terms.get(k, 0)), f(sum(v for j, v in terms.items() if j <= k)), f(sum(v for j, v in terms.items() if j >= k))


def hypergeometric_rows():
    rows = []
    for N, K, n in [(100, 75, 20), (1000, 990, 500), (5000, 3755, 640), (50000, 37550, 300), (50000, 39330, 400), (50000, 200, 300)]:
        p = K / N
        sd = (n * p * (1 - p) * (N - n) / (N - 1)) ** 0.5
        for z in (-6, -2, 0, 2, 6):
            k = int(min(n, K, max(0, n - N + K, round(n * p + z * sd))))
            pmf, cdf, sf = hypergeometric_exact(k, N, K, n)
            assert abs(pmf - hypergeom.pmf(k, N, K, n)) <= 1e-9 * max(pmf, 1e-30) + 1e-15
            rows.append(dict(k=k, N=N, K=K, n=n, pmf=pmf, cdf=cdf, sf=sf))
    return rows


def clopper_pearson_rows():
    rows = []
    for k, n in [(18, 20), (0, 20), (20, 20), (1, 1), (0, 1), (3755, 5000), (37550, 50000), (1, 50000), (1502, 2000)]:
        for alpha in (0.05, 0.01, 0.2):
            low, high = proportion_confint(k, n, alpha=alpha, method="beta")
            rows.append(dict(k=k, n=n, alpha=alpha, low=float(low), high=float(high)))
    return rows


def counts_scan(k, n, N, alpha=ALPHA):
    """Every K in [k, N-n+k] that neither tail rejects at alpha/2."""
    K = np.arange(k, N - n + k + 1)
    keep = (hypergeom.sf(k - 1, N, K, n) > alpha / 2) & (hypergeom.cdf(k, N, K, n) > alpha / 2)
    return int(K[keep].min()), int(K[keep].max())


def sequence_scan(k, n, N, alpha=ALPHA):
    """Waudby-Smith and Ramdas 2020 with the uniform prior: every K whose ratio is below 1/alpha."""
    K = np.arange(k, N - n + k + 1)
    keep = (n + 1) * hypergeom.pmf(k, N, K, n) > alpha
    return int(K[keep].min()), int(K[keep].max())


def count_rows():
    rows = []
    cases = [(18, 20, 50), (15, 20, 20), (0, 10, 100), (10, 10, 100), (480, 640, 5000), (3755, 5000, 50000),
             (64, 64, 50000), (0, 64, 50000), (37000, 49999, 50000), (750, 1000, 50000)]
    for k, n, N in cases:
        for confidence in (0.95, 0.99):
            low, high = counts_scan(k, n, N, 1 - confidence)
            slow, shigh = sequence_scan(k, n, N, 1 - confidence)
            rows.append(dict(k=k, n=n, N=N, confidence=confidence, low=low, high=high, sequence_low=slow, sequence_high=shigh))
    return rows


def bounds(text):
    value = Fraction(Decimal(text))
    digits = len(text.partition(".")[2])
    tolerance = Fraction(1, 10) + Fraction(1, 2) / 10**digits
    return value, tolerance


def judge(low, high, text):
    value, t = bounds(text)
    if low >= value - t and high <= value + t:
        return "reproduced"
    if high < value - t or low > value + t:
        return "contradicted"
    return "consistent"


def interval(relation, k, n, N):
    if relation == "census":
        return (Fraction(100 * k, n),) * 2
    if relation == "random":
        low, high = counts_scan(k, n, N)
        return Fraction(100 * low, N), Fraction(100 * high, N)
    low, high = proportion_confint(k, n, alpha=ALPHA, method="beta")
    return Fraction(round(float(low) * 1e8), 10**6), Fraction(round(float(high) * 1e8), 10**6)


def detectable_drop(relation, n, N, text):
    value, t = bounds(text)
    if relation == "census":
        d = 0
        while Fraction(100 * d, N) <= t:
            d += 1
        return float(Fraction(100 * d, N))
    says = [k for k in range(n + 1) if judge(*interval(relation, k, n, N), text) == "contradicted"]
    if relation == "random":
        K = int(value * N // 100)
        while K >= 0:
            if sum(hypergeom.pmf(says, N, K, n)) >= 0.9:
                return float(value - Fraction(100 * K, N))
            K -= 1
        return None
    power = lambda d: float(sum(binom.pmf(says, n, max(0.0, float(value) / 100 - d)))) - 0.9
    top = float(value) / 100
    return 100 * brentq(power, 0, top, xtol=1e-13) if power(top) >= 0 else None


def images_to_decide(k, n, N, text):
    m = N
    while m > 0:
        right = (2 * m * k + n) // (2 * n)
        if judge(*interval("census" if m == N else "random", right, m, N), text) == "consistent":
            return m + 1
        m -= 1
    return 1


def p_value(relation, k, n, N, text):
    value, t = bounds(text)
    low, high = value - t, value + t
    if relation == "census":
        return 0.0 if judge(*interval(relation, k, n, N), text) == "contradicted" else 1.0
    if relation == "random":
        a = -int(-low * N // 100)
        b = int(high * N // 100)
        tails = hypergeom.cdf(k, N, a, n), hypergeom.sf(k - 1, N, b, n)
    else:
        tails = binom.cdf(k, n, float(low) / 100), binom.sf(k - 1, n, float(high) / 100)
    return min(1.0, 2 * float(min(tails)))


def power_rows():
    rows = []
    cases = [("given", 18, 20, 400, "75.1"), ("given", 10, 20, 400, "75.1"), ("given", 60, 80, 400, "75.1"),
             ("given", 2, 3, 400, "75.1"), ("given", 50, 50, 400, "99.9"),
             ("random", 90, 120, 400, "75.1"), ("random", 70, 120, 400, "75.1"), ("random", 300, 399, 400, "75.1"),
             ("random", 150, 200, 400, "75.25"), ("random", 30, 40, 500, "75"),
             ("census", 300, 400, 400, "75.1"), ("census", 299, 400, 400, "75.1"), ("census", 376, 500, 500, "75.1")]
    for relation, k, n, N, text in cases:
        rows.append(dict(relation=relation, k=k, n=n, N=N, claim=text, verdict=judge(*interval(relation, k, n, N), text),
                         detectable_drop=detectable_drop(relation, n, N, text),
                         images_to_decide=images_to_decide(k, n, N, text), p=p_value(relation, k, n, N, text)))
    return rows


def holm_rows():
    rng = np.random.default_rng(0)
    rows = []
    for size in (1, 2, 5, 12, 40):
        p = rng.uniform(0, 1, size) ** 3
        rows.append(dict(p=p.tolist(), adjusted=multipletests(p, method="holm")[1].tolist()))
    return rows


def paired_rows():
    rows = []
    for lost, won, n in [(0, 0, 2000), (12, 10, 2000), (30, 5, 5000), (5, 30, 5000), (1, 0, 200), (300, 250, 5000), (90, 5, 100)]:
        lower = lambda x: beta.ppf(0.05, x, n - x + 1) if x else 0.0
        upper = lambda x: beta.ppf(0.95, x + 1, n - x) if x < n else 1.0
        b, c = lost / n, won / n
        rho = -((b * c) / ((1 - b) * (1 - c))) ** 0.5
        size = lambda x, y: (x * x - 2 * rho * x * y + y * y) ** 0.5
        rows.append(dict(lost=lost, won=won, n=n, at_least=float(b - c - size(b - lower(lost), upper(won) - c)),
                         at_most=float(b - c + size(upper(lost) - b, c - lower(won)))))
    return rows


golden = dict(
    script="tests/oracle/stats.py", script_sha256=hashlib.sha256(HERE.read_bytes()).hexdigest(),
    scipy=scipy.__version__, statsmodels=statsmodels.__version__,
    binomial=binomial_rows(), hypergeometric=hypergeometric_rows(), clopper_pearson=clopper_pearson_rows(),
    counts=count_rows(), power=power_rows(), holm=holm_rows(), paired=paired_rows(),
)
out = HERE.parents[1] / "golden" / "stats.json"
out.write_text(json.dumps(golden, indent=0, default=float) + "\n")
print(out, out.stat().st_size, "bytes")
