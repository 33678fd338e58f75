//! ④ Statistics of a sample: pure functions, the order of summation being the order given.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean and spread of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Size of the sample.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n − 1 in the denominator; `None` for a single value.
    pub sd: Option<f64>,
    /// Student's 95 % confidence interval of the mean, low and high; `None` for a single value.
    pub ci95: Option<(f64, f64)>,
}

impl Moments {
    /// Of a sample; `None` if it is empty. Two passes, so that a small spread around a large mean is not cancelled away.
    pub fn of(sample: &[f64]) -> Option<Moments> {
        let n = sample.len();
        if n == 0 {
            return None;
        }
        let mean = sample.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Moments {
                n,
                mean,
                sd: None,
                ci95: None,
            });
        }
        let squares: f64 = sample.iter().map(|value| (value - mean) * (value - mean)).sum();
        let sd = libm::sqrt(squares / (n - 1) as f64);
        let half = t_quantile_975(n - 1) * sd / libm::sqrt(n as f64);
        Some(Moments {
            n,
            mean,
            sd: Some(sd),
            ci95: Some((mean - half, mean + half)),
        })
    }
}

/// The 0.975 quantile of Student's t. (statrs is built without `std` and so computes with `libm`: the same everywhere.)
fn t_quantile_975(degrees_of_freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

/// The `q` quantile of a sample of which the `censored` largest values are unknown: linear interpolation between order
/// statistics at 1 + (n − 1) q (type 7 of Hyndman and Fan, The American Statistician 50(4), 1996). `sorted` holds
/// the known ones, ascending. `None` where an unknown value would be needed.
pub fn quantile(sorted: &[f64], censored: usize, q: f64) -> Option<f64> {
    let n = sorted.len() + censored;
    if n == 0 {
        return None;
    }
    let position = (n - 1) as f64 * q;
    let below = libm::floor(position);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= below < n"
    )]
    let index = below as usize;
    let low = *sorted.get(index)?;
    let share = position - below;
    if share == 0.0 {
        return Some(low);
    }
    Some(low + share * (sorted.get(index + 1)? - low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_of_a_worked_example() {
        let moments = Moments::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((moments.mean - 5.0).abs() < 1e-15);
        // sqrt(32 / 7), and t(0.975, 7) = 2.364624.
        assert!((moments.sd.unwrap() - 2.138_089_935).abs() < 1e-9);
        let (low, high) = moments.ci95.unwrap();
        assert!((low - (5.0 - 2.364_624_252 * 2.138_089_935 / 8f64.sqrt())).abs() < 1e-6);
        assert!((high - 5.0 - (5.0 - low)).abs() < 1e-12);
        assert_eq!(Moments::of(&[]), None);
        assert_eq!(Moments::of(&[3.0]).unwrap().ci95, None);
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
    fn quantiles_interpolate_and_stop_at_what_is_unknown() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0, 0.5), Some(2.5));
        assert_eq!(quantile(&sorted, 0, 0.0), Some(1.0));
        assert_eq!(quantile(&sorted, 0, 1.0), Some(4.0));
        assert_eq!(quantile(&sorted, 3, 0.5), Some(4.0));
        assert_eq!(quantile(&sorted, 4, 0.5), None);
        assert_eq!(quantile(&[], 2, 0.5), None);
        assert_eq!(quantile(&[], 0, 0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_the_sample_and_rises(
            mut sample in proptest::collection::vec(-1e6f64..1e6, 1..40), low in 0.0f64..1.0, high in 0.0f64..1.0
        ) {
            sample.sort_by(f64::total_cmp);
            let (low, high) = (low.min(high), low.max(high));
            let (a, b) = (quantile(&sample, 0, low).unwrap(), quantile(&sample, 0, high).unwrap());
            prop_assert!(a <= b + 1e-9 && a >= sample[0] && b <= sample[sample.len() - 1]);
        }
    }
}
