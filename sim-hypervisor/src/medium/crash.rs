//! What a power loss can make of a simulated disk: every outcome, or one drawn.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{File, Tail};
use super::image::{Bytes, Image};
use super::names::{Names, Tree};

/// Files with unsynced bytes for which all combinations of outcomes are enumerated: 4^3 at most.
const COMBINED_MAX: usize = 3;

/// Every outcome that the rules of `names` allow, with unsynced bytes of each file missing, cut in half, whole or garbage.
/// Each once, ascending. If more than three files have unsynced bytes in the same
/// outcome of names, these files share their fate instead of having each its own.
pub(super) fn images(names: &Names) -> Vec<Image> {
    let mut variants: BTreeMap<*const (), Vec<Bytes>> = BTreeMap::new();
    let mut images = BTreeSet::new();
    for happened in outcomes(names) {
        let tree = names.after_crash(&happened);
        let files = distinct(&tree);
        let mut counts = Vec::new();
        for file in &files {
            let variants = variants.entry(file.identity());
            counts.push(variants.or_insert_with(|| file.crash_variants()).len());
        }
        for picks in picks(&counts) {
            let fates = files.iter().zip(picks).map(|(file, pick)| {
                let identity = file.identity();
                (identity, &variants[&identity][pick])
            });
            images.insert(image(&tree, &fates.collect()));
        }
    }
    images.into_iter().collect()
}

/// One outcome, picked by a source of random numbers: the prefix of each row and the fate of each file's unsynced bytes,
/// which may also be cut anywhere, and filled up with zeroes or garbage.
pub(super) fn drawn(names: &Names, draw: &mut dyn FnMut() -> u64) -> Image {
    let mut prefixes = names.rows();
    for (_, length) in &mut prefixes {
        *length = usize::try_from(draw() % (*length as u64 + 1)).unwrap_or(0);
    }
    let tree = names.after_crash(&names.happened(&prefixes));
    let files = distinct(&tree).into_iter().map(|file| {
        let tail = Tail::drawn(draw(), draw());
        (file.identity(), file.after_crash(tail))
    });
    let fates: BTreeMap<_, _> = files.collect();
    image(&tree, &fates.iter().map(|(file, bytes)| (*file, bytes)).collect())
}

/// These names, with this content for each file.
fn image(tree: &Tree, fates: &BTreeMap<*const (), &Bytes>) -> Image {
    let files = tree.files.iter();
    let files = files.map(|(path, file)| (path.clone(), fates[&file.identity()].clone()));
    Image {
        files: files.collect(),
        dirs: tree.dirs.clone(),
    }
}

/// Its files, each once even if it has two names, in the order of their first.
fn distinct(tree: &Tree) -> Vec<&File> {
    let mut seen = BTreeSet::new();
    let files = tree.files.values();
    files.filter(|file| seen.insert(file.identity())).collect()
}

/// Every set of pending changes that may have happened.
fn outcomes(names: &Names) -> BTreeSet<Vec<bool>> {
    let rows = names.rows();
    let lengths: Vec<usize> = rows.iter().map(|&(_, length)| length + 1).collect();
    let mut outcomes = BTreeSet::new();
    each_combination(&lengths, |prefixes| {
        let prefixes: Vec<_> = rows
            .iter()
            .zip(prefixes)
            .map(|(&(dir, _), &taken)| (dir, taken))
            .collect();
        outcomes.insert(names.happened(&prefixes));
    });
    outcomes
}

/// Which variant each file has, in every outcome that is looked at; `counts` says how many it has.
fn picks(counts: &[usize]) -> Vec<Vec<usize>> {
    let mut picks = Vec::new();
    if counts.iter().filter(|&&count| count > 1).count() <= COMBINED_MAX {
        each_combination(counts, |pick| picks.push(pick.to_vec()));
    } else {
        let most = counts.iter().copied().max().unwrap_or(1);
        picks.extend((0..most).map(|pick| counts.iter().map(|count| pick.min(count - 1)).collect()));
    }
    picks
}

/// Calls `visit` with every row of numbers of which each is below the count in its place, counted like an odometer.
fn each_combination(counts: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut wheels = vec![0; counts.len()];
    loop {
        visit(&wheels);
        let Some(wheel) = (0..counts.len()).find(|&wheel| wheels[wheel] + 1 < counts[wheel]) else {
            return;
        };
        wheels[..wheel].fill(0);
        wheels[wheel] += 1;
    }
}
