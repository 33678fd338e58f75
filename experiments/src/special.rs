//! ④ Special functions on `libm` alone, so that a quantile is the same bits on every machine. (Crates for statistics take the
//! C library's `exp` and `log` here, for others switch on `num-traits/std`.)
//!
//! Relative errors, which for tails hold for the tail, are below 1e-11 where the tests look (of the binomial with a million trials: 1e-9).

use libm::{exp, fabs, lgamma, log, log1p, sqrt};

/// A step of an iteration smaller than this changes nothing.
const TINY: f64 = 1e-16;
/// Keeps continued fractions from dividing by zero (Lentz).
const FLOOR: f64 = 1e-300;
const ITERATIONS_MAX: u32 = 10_000;

/// The complement of the error function.
pub(crate) fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}

/// The value below which a standard normal variable lies with probability `p` in (0, 1): the rational approximations of Wichura
/// (AS 241, Applied Statistics 37(3), 1988), 16 digits.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if fabs(q) <= 0.425 {
        return normal_quantile_centre(q);
    }
    if q < 0.0 {
        -normal_quantile_tail(p)
    } else {
        normal_quantile_tail(1.0 - p)
    }
}

fn ratio(x: f64, above: &[f64], below: &[f64]) -> f64 {
    let polynomial = |terms: &[f64]| terms.iter().rev().fold(0.0, |sum, term| sum * x + term);
    polynomial(above) / polynomial(below)
}

/// For |p − 1/2| of at most 0.425.
fn normal_quantile_centre(q: f64) -> f64 {
    let above = [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ];
    let below = [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ];
    q * ratio(0.180_625 - q * q, &above, &below)
}

/// The quantile of a tail below 0.075, without its sign.
fn normal_quantile_tail(tail: f64) -> f64 {
    let r = sqrt(-log(tail));
    if r <= 5.0 {
        let above = [
            1.423_437_110_749_683_5,
            4.630_337_846_156_546,
            5.769_497_221_460_691,
            3.647_848_324_763_204_5,
            1.270_458_252_452_368_4,
            0.241_780_725_177_450_6,
            0.022_723_844_989_269_184,
            7.745_450_142_783_414e-4,
        ];
        let below = [
            1.0,
            2.053_191_626_637_759,
            1.676_384_830_183_803_8,
            0.689_767_334_985_1,
            0.148_103_976_427_480_08,
            0.015_198_666_563_616_457,
            5.475_938_084_995_345e-4,
            1.050_750_071_644_416_9e-9,
        ];
        return ratio(r - 1.6, &above, &below);
    }
    let above = [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ];
    let below = [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_7e-15,
    ];
    ratio(r - 5.0, &above, &below)
}

/// ψ, the derivative of ln Γ, for x > 0: recurrence up to 10, then the asymptotic series (Abramowitz and Stegun, 6.3.18).
pub(crate) fn digamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = [
        1.0 / 12.0,
        -1.0 / 120.0,
        1.0 / 252.0,
        -1.0 / 240.0,
        1.0 / 132.0,
        -691.0 / 32_760.0,
        1.0 / 12.0,
    ];
    let sum = series.iter().rev().fold(0.0, |sum, term| (sum + term) * square);
    log(x) - 0.5 / x - sum - shift
}

/// The regularised incomplete gamma functions P and Q = 1 − P of `shape` > 0 at `x` ≥ 0: the share of a gamma law of this shape
/// and scale 1 that lies below, and above. Series below shape + 1, continued fraction above (DLMF 8.7.1, 8.9.2).
pub(crate) fn gamma_shares(shape: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    let front = exp(shape * log(x) - x - lgamma(shape));
    if x < shape + 1.0 {
        let (mut term, mut sum) = (1.0 / shape, 1.0 / shape);
        for n in 1..ITERATIONS_MAX {
            term *= x / (shape + f64::from(n));
            sum += term;
            if term < sum * TINY {
                break;
            }
        }
        let below = front * sum;
        return (below, 1.0 - below);
    }
    let mut b = x + 1.0 - shape;
    let (mut above_ratio, mut below_ratio) = (1.0 / FLOOR, 1.0 / b);
    let mut fraction = below_ratio;
    for n in 1..ITERATIONS_MAX {
        let n = f64::from(n);
        let numerator = n * (shape - n);
        b += 2.0;
        below_ratio = 1.0 / away_from_zero(numerator * below_ratio + b);
        above_ratio = away_from_zero(b + numerator / above_ratio);
        let factor = above_ratio * below_ratio;
        fraction *= factor;
        if fabs(factor - 1.0) < TINY {
            break;
        }
    }
    let above = front * fraction;
    (1.0 - above, above)
}

/// The value below which `below` of a gamma law of shape `a` and scale 1 lies, and above which `above` does; both are given, for
/// the smaller of them holds the digits. Bisection in the logarithm, ended by Newton's steps.
pub(crate) fn gamma_quantile(a: f64, below: f64, above: f64) -> f64 {
    if below <= 0.0 {
        return 0.0;
    }
    // What is too low is negative; as a ratio, so that tails keep their digits.
    let excess = |x: f64| {
        let (p, q) = gamma_shares(a, x);
        if below < above {
            log(p / below)
        } else {
            log(above / q)
        }
    };
    // For small x, P is x^a / Γ(a + 1): a lower bound of the quantile, and a good one where it is small.
    let mut low = (log(below) + lgamma(a + 1.0)) / a;
    let mut step = 1.0;
    let mut high = low;
    while excess(exp(high)) < 0.0 {
        low = high;
        high += step;
        step *= 2.0;
    }
    let mut x = f64::midpoint(low, high);
    for _ in 0..200 {
        let value = exp(x);
        let wrong = excess(value);
        if wrong < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let (p, q) = gamma_shares(a, value);
        let density = exp(a * x - value - lgamma(a));
        let slope = density / if below < above { p } else { q };
        let newton = x - wrong / slope;
        let next = if newton > low && newton < high {
            newton
        } else {
            f64::midpoint(low, high)
        };
        let moved = fabs(next - x);
        x = next;
        if moved <= 4.0 * f64::EPSILON * fabs(x).max(1.0) || high - low <= f64::EPSILON * fabs(x) {
            break;
        }
    }
    exp(x)
}

/// The regularised incomplete beta function I_x(a, b) and its complement, with y = 1 − x given too, for the smaller of them holds
/// the digits (DLMF 8.17.22, continued fraction).
pub(crate) fn beta_shares(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    let log_x = if x < y { log(x) } else { log1p(-y) };
    let log_y = if x < y { log1p(-x) } else { log(y) };
    let front = exp(a * log_x + b * log_y - log_beta(a, b));
    if x < (a + 1.0) / (a + b + 2.0) {
        let below = front * beta_fraction(a, b, x) / a;
        (below, 1.0 - below)
    } else {
        let above = front * beta_fraction(b, a, y) / b;
        (1.0 - above, above)
    }
}

/// ln B(a, b). Of large arguments the logarithms of the gamma functions nearly cancel: what is left of them is put together from
/// Stirling's formula instead.
fn log_beta(a: f64, b: f64) -> f64 {
    const LARGE: f64 = 10.0;
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large < LARGE {
        return lgamma(a) + lgamma(b) - lgamma(a + b);
    }
    let sum = small + large;
    let common = stirling_rest(large) - stirling_rest(sum);
    if small < LARGE {
        return lgamma(small) + common + small - small * log(sum) + (large - 0.5) * log1p(-small / sum);
    }
    let half_log_two_pi = 0.5 * log(2.0 * std::f64::consts::PI);
    half_log_two_pi - 0.5 * log(large)
        + stirling_rest(small)
        + common
        + (small - 0.5) * log(small / sum)
        + large * log1p(-small / sum)
}

/// ln Γ(x) − [(x − ½) ln x − x + ½ ln 2π] for x of at least 10 (Abramowitz and Stegun, 6.1.41).
fn stirling_rest(x: f64) -> f64 {
    let square = 1.0 / (x * x);
    let series = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1_260.0,
        -1.0 / 1_680.0,
        1.0 / 1_188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    series.iter().rev().fold(0.0, |sum, term| sum * square + term) / x
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut above_ratio = 1.0;
    let mut below_ratio = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = below_ratio;
    for m in 1..ITERATIONS_MAX {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut last = 1.0;
        for numerator in [even, odd] {
            below_ratio = 1.0 / away_from_zero(1.0 + numerator * below_ratio);
            above_ratio = away_from_zero(1.0 + numerator / above_ratio);
            last = above_ratio * below_ratio;
            fraction *= last;
        }
        if fabs(last - 1.0) < TINY {
            break;
        }
    }
    fraction
}

fn away_from_zero(x: f64) -> f64 {
    if fabs(x) < FLOOR { FLOOR } else { x }
}

/// The value that Student's t with so many degrees of freedom exceeds with probability `tail` < 1/2.
pub(crate) fn t_upper_quantile(degrees_of_freedom: f64, tail: f64) -> f64 {
    // P(T > t) = I_x(ν/2, 1/2) / 2 with x = ν / (ν + t²).
    let above = |t: f64| {
        let sum = degrees_of_freedom + t * t;
        let (x, y) = (degrees_of_freedom / sum, t * t / sum);
        beta_shares(degrees_of_freedom / 2.0, 0.5, x, y).0 / 2.0
    };
    let (mut low, mut high) = (0.0, 1.0);
    while above(high) > tail {
        low = high;
        high *= 2.0;
    }
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if above(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The probability of at most `k` successes in `n` trials of probability `p` in (0, 1).
pub(crate) fn binomial_at_most(n: u64, p: f64, k: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_shares((k + 1) as f64, (n - k) as f64, p, 1.0 - p).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64, relative: f64) {
        assert!(
            (found / wanted - 1.0).abs() < relative,
            "{found:e}, wanted {wanted:e}"
        );
    }

    // Wanted values: mpmath with 40 digits.
    #[test]
    fn normal_quantiles() {
        for (p, wanted) in [
            (1e-300, -37.047_096_299_361_2),
            (1e-20, -9.262_340_089_798_407),
            (1e-5, -4.264_890_793_922_825),
            (0.02, -2.053_748_910_631_823),
            (0.3, -0.524_400_512_708_040_8),
            (0.975, 1.959_963_984_540_053_9),
            (0.9999, 3.719_016_485_455_708_4),
        ] {
            near(normal_quantile(p), wanted, 1e-13);
        }
        assert_eq!(normal_quantile(0.5).to_bits(), 0f64.to_bits());
    }

    #[test]
    fn digammas() {
        for (x, wanted) in [
            (0.001, -1_000.575_571_931_810_3),
            (0.3, -3.502_524_222_200_133),
            (5.0, 1.506_117_668_431_800_5),
            (1e6, 13.815_510_057_964_191),
        ] {
            near(digamma(x), wanted, 1e-14);
        }
    }

    #[test]
    fn gamma_shares_and_their_quantiles() {
        for (a, x, below, above) in [
            (0.3, 1e-9, 0.002_223_206_086_527_774_1, 0.997_776_793_913_472_2),
            (0.3, 2.0, 0.977_974_019_172_853, 0.022_025_980_827_147_014),
            (2.5, 0.1, 8.861_387_888_124_426e-4, 0.999_113_861_211_187_6),
            (2.5, 30.0, 0.999_999_999_987_845_4, 1.215_456_977_718_304e-11),
            (400.0, 380.0, 0.158_550_709_784_294_79, 0.841_449_290_215_705_2),
            (400.0, 500.0, 0.999_998_352_780_735_6, 1.647_219_264_408_719_8e-6),
        ] {
            let (p, q) = gamma_shares(a, x);
            near(p, below, 2e-12);
            near(q, above, 2e-12);
            near(gamma_quantile(a, below, above), x, 2e-12);
        }
        assert_eq!(gamma_quantile(2.0, 0.0, 1.0).to_bits(), 0f64.to_bits());
    }

    #[test]
    fn student_and_binomial() {
        for (degrees, wanted) in [
            (1.0, 12.706_204_736_174_704),
            (2.0, 4.302_652_729_749_464),
            (5.0, 2.570_581_835_636_315_5),
            (30.0, 2.042_272_456_301_238),
            (999.0, 1.962_341_461_133_45),
            (1e6, 1.959_966_356_814_107),
        ] {
            near(t_upper_quantile(degrees, 0.025), wanted, 1e-11);
        }
        for (n, p, k, wanted) in [
            (20, 0.05, 1, 0.735_839_524_943_849_9),
            (1000, 0.5, 469, 0.026_838_924_822_505_102),
            (1_000_000, 0.05, 49_573, 0.025_063_885_446_194_286),
            (1_000_000, 0.95, 949_573, 0.025_292_882_496_446_59),
        ] {
            near(binomial_at_most(n, p, k), wanted, 1e-9);
        }
        assert_eq!(binomial_at_most(3, 0.5, 3).to_bits(), 1f64.to_bits());
    }

    proptest::proptest! {
        /// Quantile and shares are inverse to each other, wherever the shares are numbers.
        #[test]
        fn the_gamma_quantile_inverts(a in 0.05..50.0f64, h in 1e-6..36.0f64) {
            let (below, above) = (-libm::expm1(-h), exp(-h));
            let x = gamma_quantile(a, below, above);
            let (p, q) = gamma_shares(a, x);
            let (found, wanted) = if below < above { (p, below) } else { (q, above) };
            proptest::prop_assert!(x == 0.0 || (found / wanted - 1.0).abs() < 1e-9, "{x}: {found} {wanted}");
        }
    }
}
