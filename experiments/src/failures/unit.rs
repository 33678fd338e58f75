//! ② Unit exponentials, −ln u with u uniform in (0, 1].
//!
//! The logarithm is that of `libm` to the last bit; written without a branch, the compiler computes several at once.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A draw of the unit exponential.
#[inline]
pub(crate) fn unit_exponential(rng: &mut ChaCha8Rng) -> f64 {
    -log(open_unit(rng))
}

/// The same draws, as many as there are places.
#[inline]
pub(super) fn unit_exponentials(rng: &mut ChaCha8Rng, draws: &mut [f64]) {
    for draw in &mut *draws {
        *draw = open_unit(rng);
    }
    for draw in draws {
        *draw = -log(*draw);
    }
}

/// Uniform in (0, 1], 53 bits.
#[inline]
pub(super) fn open_unit(rng: &mut ChaCha8Rng) -> f64 {
    const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
    // Signed, for processors convert that in one step.
    ((rng.next_u64() >> 11) + 1).cast_signed() as f64 * SCALE
}

// What follows is after e_log.c of FreeBSD's msun, as `libm` is:
//
// Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
//
// Developed at SunSoft, a Sun Microsystems, Inc. business.
// Permission to use, copy, modify, and distribute this
// software is freely granted, provided that this notice
// is preserved.

/// The natural logarithm of a number that is positive and normal.
#[inline]
#[expect(clippy::many_single_char_names, reason = "as in the source and its proof")]
fn log(x: f64) -> f64 {
    const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const LG1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
    const LG2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
    const LG3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
    const LG4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
    const LG5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
    const LG6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
    const LG7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);
    /// The upper half of 1/√2, as `libm` cuts it.
    const SQRT_HALF: u64 = 0x3fe6_a09e << 32;
    const ONE: u64 = 0x3ff0_0000 << 32;
    const FRACTION: u64 = (1 << 52) - 1;
    /// Its lowest bits are a whole number once they are set in it; with the bias of exponents.
    const WHOLE: f64 = (1u64 << 52) as f64;
    const BIAS: f64 = 1023.0;

    // x = 2^k (1 + f) with 1 + f between 1/√2 and √2.
    let shifted = x.to_bits() + (ONE - SQRT_HALF);
    let k = f64::from_bits(WHOLE.to_bits() | shifted >> 52) - (WHOLE + BIAS);
    let f = f64::from_bits((shifted & FRACTION) + SQRT_HALF) - 1.0;
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (LG2 + w * (LG4 + w * LG6));
    let odd = z * (LG1 + w * (LG3 + w * (LG5 + w * LG7)));
    let r = odd + even;
    s * (half_square + r) + k * LN2_LO - half_square + f + k * LN2_HI
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn the_logarithm_is_that_of_libm_to_the_last_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ends = [1.0, 1.0 - f64::EPSILON / 2.0, 0.5, 1.0 / (1u64 << 53) as f64];
        // Around 1/√2, where the exponent changes.
        let turns = (0x3fe6_a09d_ffff_fff0u64..0x3fe6_a09e_0000_0010).map(f64::from_bits);
        let draws = (0..200_000).map(|_| open_unit(&mut rng));
        for x in ends.into_iter().chain(turns).chain(draws) {
            assert_eq!(log(x).to_bits(), libm::log(x).to_bits(), "{x}");
        }
    }

    #[test]
    fn many_draws_are_as_many_single_ones() {
        let mut draws = [0.0; 37];
        unit_exponentials(&mut ChaCha8Rng::seed_from_u64(2), &mut draws);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for draw in draws {
            assert_eq!(draw.to_bits(), unit_exponential(&mut rng).to_bits());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn so_it_is_of_every_normal_number(x in f64::MIN_POSITIVE..f64::MAX, small in f64::MIN_POSITIVE..2.0) {
            prop_assert_eq!(log(x).to_bits(), libm::log(x).to_bits());
            prop_assert_eq!(log(small).to_bits(), libm::log(small).to_bits());
        }
    }
}
