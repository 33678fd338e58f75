//! Published results beside ours, and published folders run again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use revenant_core::clock::SystemClock;
use revenant_experiments::Progress;
use revenant_experiments::run::{MANIFEST, Reproduction, reproduce as reproduce_folder};
use revenant_experiments::validate::{Verdict, markdown, validate as all_checks};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::progress::count_bar;
use crate::Outcome;
use crate::args::{ReproduceArgs, ValidateArgs};
use crate::output::{print, table};

pub(crate) fn validate(args: &ValidateArgs) -> Result<Outcome> {
    if let Some(data) = &args.data
        && !data.is_dir()
    {
        bail!("{} is no folder", data.display());
    }
    let checks = all_checks(args.data.as_deref(), &mut |group| eprintln!("{group}…"))?;
    if let Some(path) = &args.markdown {
        fs::write(path, markdown(&checks)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let rows: Vec<Vec<String>> = checks
        .iter()
        .map(|check| {
            vec![
                check.id.to_owned(),
                check.quantity.clone(),
                check.expected.to_string(),
                format!("{:.6}", check.ours),
                format!("{:.6}", check.tolerance),
                check.verdict().word().to_owned(),
            ]
        })
        .collect();
    let header = ["", "quantity", "published", "ours", "tolerance", ""];
    print(&table(&header, &[2, 3, 4], &rows))?;
    let count = |verdict| checks.iter().filter(|check| check.verdict() == verdict).count();
    print(&format!(
        "{} reproduced, {} missed for a known reason, {} off\n",
        count(Verdict::Reproduced),
        count(Verdict::Missed),
        count(Verdict::Off)
    ))?;
    Ok(if count(Verdict::Off) == 0 {
        Outcome::Done
    } else {
        Outcome::DamageFound
    })
}

pub(crate) fn reproduce(args: &ReproduceArgs) -> Result<Outcome> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&cancel))?;
        signal_hook::flag::register(signal, Arc::clone(&cancel))?;
    }
    let (mut exact, mut failed) = (true, 0);
    let folders = result_folders(&args.dirs)?;
    for dir in &folders {
        let reproduction = match again(dir, args, &cancel) {
            Ok(reproduction) => reproduction,
            // A log that is not here, say, is no reason not to run the others.
            Err(error) => {
                eprintln!("{}: {error:#}", dir.display());
                failed += 1;
                continue;
            }
        };
        print(&line(dir, &reproduction))?;
        exact &= reproduction.is_exact();
        if reproduction.interrupted {
            bail!("interrupted");
        }
    }
    if failed > 0 {
        bail!("{failed} of {} could not be run again", folders.len());
    }
    Ok(if exact {
        Outcome::Done
    } else {
        Outcome::DamageFound
    })
}

/// A folder without a manifest stands for those in it that have one.
fn result_folders(dirs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let is_result = |dir: &Path| dir.join(MANIFEST).is_file();
    let mut folders = Vec::new();
    for dir in dirs {
        if is_result(dir) {
            folders.push(dir.clone());
            continue;
        }
        let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut inside: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_result(path))
            .collect();
        if inside.is_empty() {
            bail!("{}: no folder with a {MANIFEST}", dir.display());
        }
        inside.sort();
        folders.append(&mut inside);
    }
    Ok(folders)
}

fn again(dir: &Path, args: &ReproduceArgs, cancel: &AtomicBool) -> Result<Reproduction> {
    let name = dir.file_name().context("expected the name of a folder")?;
    let out = &args.out.join(name);
    if fs::canonicalize(dir).ok() == fs::canonicalize(out).ok() {
        bail!("--out would replace the published folder");
    }
    let bar = count_bar(0, "trials");
    let mut progress = |progress: Progress| {
        bar.set_length(progress.trials);
        bar.set_position(progress.trials_done);
    };
    let reproduction = reproduce_folder(
        dir,
        args.data.folder(),
        out,
        args.jobs.map_or(0, usize::from),
        &SystemClock::new(),
        &mut progress,
        cancel,
    );
    bar.finish_and_clear();
    Ok(reproduction?)
}

fn line(dir: &Path, reproduction: &Reproduction) -> String {
    let all = reproduction.identical.len() + reproduction.different.len();
    let mut text = format!(
        "{}: {} trials, {} of {all} outputs identical",
        dir.display(),
        reproduction.trials,
        reproduction.identical.len()
    );
    if !reproduction.different.is_empty() {
        text += &format!("; different: {}", reproduction.different.join(", "));
    }
    if let Some((outside, rows)) = reproduction.means_outside {
        text += &format!("; {outside} of {rows} means of the waste outside the published 95 % interval");
    }
    if !reproduction.tampered.is_empty() {
        text += &format!(
            "; not what the published manifest says: {}",
            reproduction.tampered.join(", ")
        );
    }
    text + "\n"
}
