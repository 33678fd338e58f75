//! ④ Statistics of a sample: pure functions, the order of summation being the order given.

use crate::special::{binomial_at_most, t_upper_quantile};

/// Mean and spread of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Size of the sample.
    pub n: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n − 1 in the denominator; `None` for a single value.
    pub sd: Option<f64>,
    /// Student's 95 % confidence interval of the mean, low and high; `None` for a single value.
    pub ci95: Option<(f64, f64)>,
}

/// Gathers the moments of a sample value by value (Welford, Technometrics 4(3), 1962): constant memory, and a small spread
/// around a large mean is not cancelled away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Running {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Running {
    /// Takes in a value.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
    }

    /// Values so far.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// What has been seen; `None` if it is nothing.
    pub fn moments(&self) -> Option<Moments> {
        let (n, mean) = (self.n, self.mean);
        if n < 2 {
            let single = Moments {
                n,
                mean,
                sd: None,
                ci95: None,
            };
            return (n == 1).then_some(single);
        }
        let sd = libm::sqrt(self.squares / (n - 1) as f64);
        let half = t_quantile_975(n - 1) * sd / libm::sqrt(n as f64);
        Some(Moments {
            n,
            mean,
            sd: Some(sd),
            ci95: Some((mean - half, mean + half)),
        })
    }
}

/// Trials that met a failure are too few to tell from how far a mean is from the truth: fewer than ten of them, and of half of the
/// trials. Where failures are rare the spread that was seen is that of the trials that met none, or nothing at all.
pub fn met_too_few(met: u64, n: u64) -> bool {
    met < 10 && 2 * met < n
}

/// Gathers pairs of values for the ratio of their means.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunningRatio {
    difference: Running,
    baseline: Running,
    /// Sum of the products of what they are off their means.
    products: f64,
}

impl RunningRatio {
    /// Takes in a pair.
    pub fn add(&mut self, value: f64, baseline: f64) {
        let difference = value - baseline;
        let before = baseline - self.baseline.mean;
        self.baseline.add(baseline);
        self.difference.add(difference);
        self.products += before * (difference - self.difference.mean);
    }

    /// Of the differences.
    pub fn difference(&self) -> &Running {
        &self.difference
    }

    /// Mean of the values over mean of the baselines; `None` if that is no positive number.
    pub fn ratio(&self) -> Option<f64> {
        let baseline = self.baseline.mean;
        (baseline > 0.0).then(|| 1.0 + self.difference.mean / baseline)
    }

    /// 95 % confidence interval of the ratio r: Student's t, of the residuals x − r y over the mean of y (the delta method;
    /// Cochran, Sampling Techniques, 3rd edition 1977, section 6.4). `None` for a single pair.
    pub fn ci95(&self) -> Option<(f64, f64)> {
        let (ratio, n) = (self.ratio()?, self.difference.n);
        if n < 2 {
            return None;
        }
        // Of pairs that differ little x² − 2 r x y + r² y² would cancel away: the residuals are d − (r − 1) y.
        let slope = ratio - 1.0;
        let squares =
            self.difference.squares - 2.0 * slope * self.products + slope * slope * self.baseline.squares;
        let sd = libm::sqrt(squares.max(0.0) / (n - 1) as f64) / self.baseline.mean;
        let half = t_quantile_975(n - 1) * sd / libm::sqrt(n as f64);
        Some((ratio - half, ratio + half))
    }
}

/// The 0.975 quantile of Student's t.
fn t_quantile_975(degrees_of_freedom: u64) -> f64 {
    t_upper_quantile(degrees_of_freedom as f64, 0.025)
}

/// Where the `q` quantile of `n` values lies: the rank (from 1) of the order statistic at or below it, and how far it is
/// from there to the next. Linear interpolation at 1 + (n − 1) q, type 7 of Hyndman and Fan (The American Statistician 50(4),
/// 1996). `None` of nothing.
pub fn quantile_rank(n: u64, q: f64) -> Option<(u64, f64)> {
    let position = n.checked_sub(1)? as f64 * q;
    let below = libm::floor(position);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= below < n"
    )]
    let rank = below as u64 + 1;
    Some((rank, position - below))
}

/// Ranks (from 1) of the two order statistics between which the `q` quantile of the population lies with a confidence of at
/// least 95 %, whatever the distribution: at most 2.5 % of samples have it on either side (David and Nagaraja, Order Statistics, 2003,
/// section 7.1). An end is `None` where the sample is too small to have one.
pub fn quantile_interval_ranks(n: u64, q: f64) -> (Option<u64>, Option<u64>) {
    // P(the r-th smallest value is above the quantile) = P(fewer than r values are below it) rises with r.
    let fewer_than = |rank: u64| binomial_at_most(n, q, rank - 1);
    let first = |is: &dyn Fn(u64) -> bool| {
        let (mut low, mut high) = (1, n + 1);
        while low < high {
            let middle = low.midpoint(high);
            if is(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    };
    let low = first(&|rank| fewer_than(rank) > 0.025) - 1;
    let high = first(&|rank| fewer_than(rank) >= 0.975);
    ((low >= 1).then_some(low), (high <= n).then_some(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(sample: &[f64]) -> Option<Moments> {
        let mut running = Running::default();
        for &value in sample {
            running.add(value);
        }
        running.moments()
    }

    #[test]
    fn moments_of_a_worked_example() {
        let found = moments(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((found.mean - 5.0).abs() < 1e-15);
        // sqrt(32 / 7), and t(0.975, 7) = 2.364624.
        assert!((found.sd.unwrap() - 2.138_089_935).abs() < 1e-9);
        let (low, high) = found.ci95.unwrap();
        assert!((low - (5.0 - 2.364_624_252 * 2.138_089_935 / 8f64.sqrt())).abs() < 1e-6);
        assert!((high - 5.0 - (5.0 - low)).abs() < 1e-12);
        assert_eq!(moments(&[]), None);
        assert_eq!(moments(&[3.0]).unwrap().ci95, None);
        let spread = moments(&[1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0]).unwrap();
        assert!((spread.sd.unwrap() - 1.0).abs() < 0.1, "{spread:?}");
    }

    #[test]
    fn the_interval_of_a_ratio_is_that_of_its_residuals() {
        let pairs = [(12.0, 10.0), (11.0, 9.0), (15.0, 11.0), (9.0, 8.0), (14.0, 13.0)];
        let mut running = RunningRatio::default();
        for (x, y) in pairs {
            running.add(x, y);
        }
        let (x, y) = pairs
            .iter()
            .fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
        let ratio = x / y;
        assert!((running.ratio().unwrap() - ratio).abs() < 1e-15);
        let residuals: Vec<f64> = pairs.iter().map(|(x, y)| (x - ratio * y) / 10.2).collect();
        let (low, high) = moments(&residuals).unwrap().ci95.unwrap();
        let (found_low, found_high) = running.ci95().unwrap();
        assert!((found_low - ratio - low).abs() < 1e-12 && (found_high - ratio - high).abs() < 1e-12);
    }

    /// From the usual table.
    #[test]
    fn t_quantiles_are_those_of_the_table() {
        for (freedom, value) in [
            (1, 12.706_205),
            (4, 2.776_445),
            (29, 2.045_230),
            (9_999, 1.960_201),
        ] {
            assert!(
                (t_quantile_975(freedom) - value).abs() < 1e-6,
                "{freedom}: {}",
                t_quantile_975(freedom)
            );
        }
    }

    #[test]
    fn quantiles_lie_between_order_statistics() {
        assert_eq!(quantile_rank(4, 0.5), Some((2, 0.5)));
        assert_eq!(quantile_rank(4, 0.0), Some((1, 0.0)));
        assert_eq!(quantile_rank(4, 1.0), Some((4, 0.0)));
        assert_eq!(quantile_rank(1, 0.95), Some((1, 0.0)));
        assert_eq!(quantile_rank(0, 0.5), None);
    }

    /// From tables of confidence intervals for the median (two-sided, at least 95 %), and where there is none.
    #[test]
    fn intervals_of_quantiles_are_those_of_the_table() {
        assert_eq!(quantile_interval_ranks(5, 0.5), (None, None));
        assert_eq!(quantile_interval_ranks(6, 0.5), (Some(1), Some(6)));
        assert_eq!(quantile_interval_ranks(20, 0.5), (Some(6), Some(15)));
        assert_eq!(quantile_interval_ranks(100, 0.5), (Some(40), Some(61)));
        let (low, high) = quantile_interval_ranks(100, 0.95);
        assert_eq!((low, high), (Some(90), Some(100)));
        assert_eq!(quantile_interval_ranks(20, 0.95).1, None);
    }
}
