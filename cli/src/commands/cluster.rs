//! Experiments in parts: shards, their merge, and Slurm.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use revenant_core::clock::SystemClock;
use revenant_experiments::Spec;
use revenant_experiments::manifest::Status;
use revenant_experiments::run::{self, default_folder};

use super::experiment::draw_as_usual;
use crate::Outcome;
use crate::args::{MergeArgs, SlurmArgs, StatusArgs};
use crate::output::print;

pub(crate) fn merge(args: &MergeArgs) -> Result<Outcome> {
    let spec = Spec::load(&args.spec, args.data.folder())?;
    let out = args.out.clone().unwrap_or_else(|| default_folder(&spec));
    let command: Vec<String> = std::env::args().collect();
    let report = run::merge(&spec, &out, &command, &SystemClock::new())?;
    for warning in &report.warnings {
        eprintln!("note: {warning}");
    }
    print(&format!(
        "{} trials in {}\n",
        report.counts.trials_done,
        out.display()
    ))?;
    if !args.no_figures {
        draw_as_usual(&out, &spec)?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn status(args: &StatusArgs) -> Result<Outcome> {
    let parts = run::status(&args.dir)?;
    let outcome = if parts.iter().all(|part| part.damaged.is_empty()) {
        Outcome::Done
    } else {
        Outcome::DamageFound
    };
    if args.json {
        print(&(serde_json::to_string_pretty(&parts)? + "\n"))?;
        return Ok(outcome);
    }
    let mut text = format!(
        "{:24} {:12} {:>12} {:>12}  last begun\n",
        "part", "status", "trials", "of"
    );
    for part in &parts {
        let status = match part.status {
            Status::Running => "begun",
            Status::Interrupted => "interrupted",
            Status::Complete if part.damaged.is_empty() => "complete",
            Status::Complete => "DAMAGED",
        };
        let (done, trials) = (part.trials_done, part.trials);
        writeln!(
            text,
            "{:24} {status:12} {done:>12} {trials:>12}  {}",
            part.folder, part.started
        )?;
        for name in &part.damaged {
            writeln!(text, "    {name} is not what the manifest says")?;
        }
    }
    print(&text)?;
    Ok(outcome)
}

pub(crate) fn slurm(args: &SlurmArgs) -> Result<Outcome> {
    let spec = Spec::load(&args.spec, args.data.folder())?;
    // Slurm counts array elements from 0 and allows indices below MaxArraySize; ours begin at 1.
    if args.tasks >= args.max_array_size {
        bail!(
            "{} tasks: an array of this cluster has fewer than {}; take fewer tasks, or say --max-array-size",
            args.tasks,
            args.max_array_size
        );
    }
    let trials = trials_at_most(&spec);
    if u64::from(args.tasks) > trials {
        bail!("{} tasks: the run has no more than {trials} trials", args.tasks);
    }
    let out = args.out.clone().unwrap_or_else(|| default_folder(&spec));
    let folder = absolute(&out)?.join("slurm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let job = Job {
        name: format!("revenant-{}", spec.name),
        program: std::env::current_exe().context("where is this program?")?,
        spec: absolute(&args.spec)?,
        data: args.data.folder().map(absolute).transpose()?,
        out: absolute(&out)?,
        folder,
    };
    job.write("array.sbatch", &job.array(args))?;
    job.write("merge.sbatch", &job.merge(args))?;
    job.write("submit.sh", &job.submit())?;
    let submit = job.folder.join("submit.sh");
    if args.submit {
        let ended = Command::new("sh")
            .arg(&submit)
            .status()
            .context("cannot run sh")?;
        if !ended.success() {
            bail!("{} failed ({ended})", submit.display());
        }
    } else {
        print(&format!("sh {}\n", quoted(&submit)))?;
    }
    Ok(Outcome::Done)
}

/// Trials of a run, where a pilot is to say how many the most that it can say.
fn trials_at_most(spec: &Spec) -> u64 {
    let wanted = spec.precision.map_or(0, |precision| precision.trials_max);
    let a_point = spec
        .levels
        .iter()
        .map(|&level| u64::from(spec.trials.at(level).max(wanted)));
    spec.points() as u64 * a_point.sum::<u64>()
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// What the scripts speak of; all paths absolute, for a node may begin anywhere.
struct Job {
    name: String,
    program: PathBuf,
    spec: PathBuf,
    data: Option<PathBuf>,
    out: PathBuf,
    folder: PathBuf,
}

impl Job {
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Options both jobs have. Output is appended, or a requeued task would lose what it said before.
    fn head(&self, part: &str, log: &str, args: &SlurmArgs) -> String {
        let mut head = format!(
            "#!/bin/sh\n#SBATCH --job-name={}-{part}\n#SBATCH --output={}\n#SBATCH --open-mode=append\n#SBATCH --requeue\n",
            self.name,
            quoted(&self.folder.join(log)),
        );
        for option in &args.sbatch {
            head += &format!("#SBATCH {option}\n");
        }
        head
    }

    fn array(&self, args: &SlurmArgs) -> String {
        let at_once = args.at_once.map_or(String::new(), |most| format!("%{most}"));
        let mut text = self.head("array", "task-%a.log", args);
        text += &format!(
            "#SBATCH --array=1-{}{at_once}\n#SBATCH --cpus-per-task={}\n",
            args.tasks, args.cpus_per_task
        );
        if let Some(time) = &args.time {
            text += &format!("#SBATCH --time={time}\n");
        }
        // A task that was requeued goes on where its predecessor was killed.
        text + &format!(
            "exec {} run {}{} --out {} --shard \"$SLURM_ARRAY_TASK_ID/{}\" --jobs {} --resume\n",
            quoted(&self.program),
            quoted(&self.spec),
            self.data_option(),
            quoted(&self.out),
            args.tasks,
            args.cpus_per_task
        )
    }

    fn data_option(&self) -> String {
        let option = |data: &PathBuf| format!(" --data {}", quoted(data));
        self.data.as_ref().map_or(String::new(), option)
    }

    fn merge(&self, args: &SlurmArgs) -> String {
        self.head("merge", "merge.log", args)
            + &format!(
                "exec {} merge {}{} --out {}\n",
                quoted(&self.program),
                quoted(&self.spec),
                self.data_option(),
                quoted(&self.out)
            )
    }

    /// A merge whose tasks did not all end well would wait for ever: it is taken out of the queue instead.
    fn submit(&self) -> String {
        let script = |name: &str| quoted(&self.folder.join(name));
        format!(
            "#!/bin/sh\n# The merge waits until every task of the array has ended well.\nset -e\narray=$(sbatch --parsable {})\narray=${{array%%;*}}\n\
             merge=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:\"$array\" {})\n\
             echo \"array job $array, merge job ${{merge%%;*}}\"\n",
            script("array.sbatch"),
            script("merge.sbatch")
        )
    }
}

/// A path as a word of the shell and of Slurm's option lines.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
