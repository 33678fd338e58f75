//! Running experiments and drawing their figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use revenant_core::clock::SystemClock;
use revenant_experiments::ladder::climb;
use revenant_experiments::manifest::Status;
use revenant_experiments::plot::{Column, Format, PlotOptions, plot_dir, plot_timeline, report_dir};
use revenant_experiments::run::{self, Which, default_folder, replay as replay_trial};
use revenant_experiments::spec::Level;
use revenant_experiments::{Progress, RunOptions, Spec, run as run_experiment};
use revenant_sim::CostProfile;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::progress::count_bar;
use crate::Outcome;
use crate::args::{Columns, FigureFormat, LadderArgs, PlotArgs, ReplayArgs, ReportArgs, RunArgs, TrialLevel};
use crate::output::print;

pub(crate) fn run(args: &RunArgs) -> Result<Outcome> {
    let spec = Spec::load(&args.spec, args.data.folder())?;
    let out = args.out.clone().unwrap_or_else(|| default_folder(&spec));
    let options = RunOptions {
        out: out.clone(),
        jobs: args.jobs.map_or(0, usize::from),
        seed: args.seed,
        trials: args.trials,
        shard: args.shard,
        resume: args.resume,
        overwrite: args.overwrite,
        command: std::env::args().collect(),
    };
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first signal ends the run in order; the second, by default action, at once.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&cancel))?;
        signal_hook::flag::register(signal, Arc::clone(&cancel))?;
    }
    let bar = count_bar(0, "trials");
    let mut progress = |progress: Progress| {
        bar.set_length(progress.trials);
        bar.set_position(progress.trials_done);
    };
    let report = run_experiment(&spec, &options, &SystemClock::new(), &mut progress, &cancel);
    bar.finish_and_clear();
    let report = report?;
    for warning in &report.warnings {
        eprintln!("note: {warning}");
    }
    if report.resumed_from > 0 {
        eprintln!("note: {} trials were there already", report.resumed_from);
    }
    if report.status != Status::Complete {
        let (spec, out) = (args.spec.display(), out.display());
        let option = |data: &Path| format!(" --data {}", data.display());
        let data = args.data.folder().map_or(String::new(), option);
        bail!("interrupted; nothing is lost, go on with: revenant run {spec}{data} --out {out} --resume");
    }
    print(&format!(
        "{} trials in {}\n",
        report.counts.trials_done,
        report.out.display()
    ))?;
    if !args.no_figures && args.shard.is_none() {
        draw_as_usual(&out, &spec)?;
    }
    Ok(Outcome::Done)
}

/// The figures of a run that has just ended, in the formats its spec asks for.
pub(super) fn draw_as_usual(out: &Path, spec: &Spec) -> Result<()> {
    let options = PlotOptions {
        formats: spec.figures.formats.clone(),
        column: Column::One,
    };
    draw(out, &options)
}

pub(crate) fn ladder(args: &LadderArgs) -> Result<Outcome> {
    let shown = args.profile.display();
    let text = fs::read_to_string(&args.profile).with_context(|| format!("cannot read {shown}"))?;
    let profile = CostProfile::from_toml(&text).with_context(|| format!("{shown} is no cost profile"))?;
    let bar = count_bar(0, "checkpoints");
    let climbed = climb(&args.measured, &profile, &args.out, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let (table, _) = climbed?;
    print(&format!("{}\n", table.display()))?;
    let options = PlotOptions {
        formats: vec![Format::Svg, Format::Png],
        column: Column::Two,
    };
    draw(&args.out, &options)?;
    Ok(Outcome::Done)
}

pub(crate) fn replay(args: &ReplayArgs) -> Result<Outcome> {
    let level = args.level.map(|level| match level {
        TrialLevel::Model => Level::Model,
        TrialLevel::Sim => Level::Sim,
        TrialLevel::Cluster => Level::Cluster,
    });
    let which = Which {
        level,
        point: args.point,
        trial: args.trial,
        jobs: args.of_jobs.clone(),
    };
    let (path, _) = replay_trial(&args.dir, args.data.folder(), &which)?;
    print(&format!("{}\n", path.display()))?;
    let options = PlotOptions {
        formats: vec![Format::Svg, Format::Png],
        column: Column::One,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let drawn = plot_timeline(folder, &options).with_context(|| format!("cannot draw {}", path.display()))?;
    print(&listed(&drawn))?;
    Ok(Outcome::Done)
}

pub(crate) fn plot(args: &PlotArgs) -> Result<Outcome> {
    let formats = args
        .format
        .iter()
        .map(|format| match format {
            FigureFormat::Svg => Format::Svg,
            FigureFormat::Png => Format::Png,
            FigureFormat::Pdf => Format::Pdf,
            FigureFormat::Tikz => Format::Tikz,
        })
        .collect();
    let column = match args.columns {
        Columns::One => Column::One,
        Columns::Two => Column::Two,
    };
    draw(&args.dir, &PlotOptions { formats, column })?;
    told_damaged(&args.dir)
}

pub(crate) fn report(args: &ReportArgs) -> Result<Outcome> {
    let path =
        report_dir(&args.dir).with_context(|| format!("cannot write a report of {}", args.dir.display()))?;
    print(&format!("{}\n", path.display()))?;
    told_damaged(&args.dir)
}

/// Says which files of a folder are not what its manifest tells of.
fn told_damaged(dir: &Path) -> Result<Outcome> {
    let damaged = run::damaged(dir)?;
    for name in &damaged {
        eprintln!(
            "warning: {} is not what the manifest says",
            dir.join(name).display()
        );
    }
    Ok(if damaged.is_empty() {
        Outcome::Done
    } else {
        Outcome::DamageFound
    })
}

fn draw(dir: &Path, options: &PlotOptions) -> Result<()> {
    let figures =
        plot_dir(dir, options).with_context(|| format!("cannot draw the figures of {}", dir.display()))?;
    print(&listed(&figures))?;
    Ok(())
}

fn listed(paths: &[PathBuf]) -> String {
    let line = |all: String, path: &PathBuf| all + &path.display().to_string() + "\n";
    paths.iter().fold(String::new(), line)
}
