//! The case A3 on simcore: one component, an event a checkpoint, a failure and a restart; what a failure overtakes is cancelled.
//!
//! Prints: replications, seconds, mean makespan in seconds, half-width of its 95 % interval, events (checkpoints and failures).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use serde::Serialize;
use simcore::{cast, Event, EventHandler, EventId, Simulation, SimulationContext};

const WORK: f64 = 1e6;
const INTERVAL: f64 = 1600.0;
const CHECKPOINT: f64 = 60.0;
const RESTART: f64 = 120.0;
const MTBF: f64 = 20000.0;

#[derive(Clone, Serialize)]
struct Committed {}
#[derive(Clone, Serialize)]
struct Failed {}
#[derive(Clone, Serialize)]
struct Restarted {}

struct Job {
    context: SimulationContext,
    done: f64,
    pending: EventId,
    failure: EventId,
    end: Option<f64>,
    events: u64,
}

impl Job {
    fn work(&mut self) {
        let work = INTERVAL.min(WORK - self.done);
        self.pending = self.context.emit_self(Committed {}, work + CHECKPOINT);
    }

    fn next_failure(&mut self) {
        let gap = -MTBF * (1.0 - self.context.rand()).ln();
        self.failure = self.context.emit_self(Failed {}, gap);
    }
}

impl EventHandler for Job {
    fn on(&mut self, event: Event) {
        cast!(match event.data {
            Committed {} => {
                self.events += 1;
                self.done += INTERVAL.min(WORK - self.done);
                if self.done >= WORK {
                    self.end = Some(self.context.time());
                    self.context.cancel_event(self.failure);
                } else {
                    self.work();
                }
            }
            Failed {} => {
                self.events += 1;
                self.context.cancel_event(self.pending);
                self.pending = self.context.emit_self(Restarted {}, RESTART);
                self.next_failure();
            }
            Restarted {} => {
                self.work();
            }
        })
    }
}

fn main() {
    let replications: u64 = std::env::args().nth(1).map_or(1000, |text| text.parse().expect("a number"));
    let begin = Instant::now();
    let (mut sum, mut squares, mut events) = (0.0, 0.0, 0);
    for seed in 0..replications {
        let mut simulation = Simulation::new(seed);
        let context = simulation.create_context("job");
        let job = Rc::new(RefCell::new(Job {
            context,
            done: 0.0,
            pending: 0,
            failure: 0,
            end: None,
            events: 0,
        }));
        simulation.add_handler("job", job.clone());
        job.borrow_mut().work();
        job.borrow_mut().next_failure();
        simulation.step_until_no_events();
        let job = job.borrow();
        let makespan = job.end.expect("the job ends");
        sum += makespan;
        squares += makespan * makespan;
        events += job.events;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let n = replications as f64;
    let mean = sum / n;
    let sd = ((squares - n * mean * mean) / (n - 1.0)).sqrt();
    println!("{replications} {seconds:.6} {mean:.1} {:.1} {events}", 1.96 * sd / n.sqrt());
}
