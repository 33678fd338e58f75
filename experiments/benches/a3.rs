//! The case A3 by one thread, without rows: `a3 fast|loop REPLICATIONS`. Prints what `benchmarks/peers/run` reads: replications, seconds,
//! mean makespan in seconds, half-width of its 95 % interval, events (checkpoints and failures).

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first trouble and reads the clock"
)]

use std::path::Path;
use std::time::Instant;

use revenant_experiments::Spec;
use revenant_experiments::model::Costs;
use revenant_experiments::plan::Plan;
use revenant_experiments::stats::Running;
use revenant_experiments::trial::CellTrials;

fn main() {
    let words: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let by_loop = words.get(1).is_some_and(|word| word == "loop");
    let replications: u32 = words.get(2).map_or(10_000, |word| word.parse().unwrap());
    let spec = format!(
        "name = \"a3\"\nseed = 1\ntrials = {replications}\nlevels = [\"model\"]\n[job]\nwork = \"1000000s\"\nfinal_checkpoint = true\n\
         [failures]\nlaw = \"exponential\"\nmtbf = \"20000s\"\n[checkpoint]\ncost = \"60s\"\nrestart = \"120s\"\n\
         [[policy]]\nkind = \"fixed\"\ninterval = \"1600s\"\n"
    );
    let spec = Spec::parse(&spec, Path::new("a3")).unwrap();
    let costs = Costs {
        checkpoint: std::time::Duration::from_secs(60),
        restart: std::time::Duration::from_secs(120),
        ..Costs::default()
    };
    let plan = Plan::new(&spec, &[vec![costs]]);
    let (mut makespan, mut events) = (Running::default(), 0);
    let trials = CellTrials::of(&plan, 0);
    let begin = Instant::now();
    for number in 0..plan.trials() {
        let item = plan.item(number);
        let outcome = if by_loop {
            let policy = plan.interval_policy(&plan.cells[item.cell]);
            plan.model_job(item.cell)
                .run(policy, plan.seed(item.trial), plan.failures(item))
        } else {
            trials
                .run(item.trial, plan.seed(item.trial), &mut |_| {})
                .unwrap()
        };
        makespan.add(outcome.makespan.as_secs_f64());
        events += outcome.failures + outcome.checkpoints;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let moments = makespan.moments().unwrap();
    let (low, high) = moments.ci95.unwrap();
    println!(
        "{replications} {seconds:.6} {:.1} {:.1} {events}",
        moments.mean,
        (high - low) / 2.0
    );
}
