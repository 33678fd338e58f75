//! How many events a second the queue of level `cluster` takes: pop the next, dispatch it, schedule another (the hold model of
//! Vaucher and Duval, CACM 18(4), 1975), by the number of events that are pending.
//!
//! `cargo run --release -p revenant-experiments --example event_queue`

use std::hint::black_box;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use revenant_core::Clock;
use revenant_core::clock::SystemClock;
use revenant_experiments::cluster::Queue;

#[derive(Debug, Clone, Copy)]
enum Event {
    Add(u32),
    Toggle(u32),
}

const EVENTS: u32 = 20_000_000;

fn main() {
    for pending in [10u32, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let gaps: Vec<u64> = (0..4096).map(|_| rng.next_u64() >> 24).collect();
        let mut queue = Queue::default();
        for number in 0..pending {
            queue.schedule(rng.next_u64() >> 24, 0, Event::Add(number));
        }
        let clock = SystemClock::new();
        let begun = clock.now();
        let (mut sum, mut parity) = (0u64, 0u32);
        for step in 0..EVENTS {
            let Some((now, event)) = queue.pop() else { break };
            let next = match event {
                Event::Add(number) => {
                    sum = sum.wrapping_add(u64::from(number));
                    Event::Toggle(number)
                }
                Event::Toggle(number) => {
                    parity ^= number;
                    Event::Add(number)
                }
            };
            queue.schedule(now + gaps[(step % 4096) as usize], 0, next);
        }
        black_box((sum, parity));
        let seconds = clock.now().since(begun).as_secs_f64();
        println!(
            "{pending:>9} pending: {:.2e} events/s",
            f64::from(EVENTS) / seconds
        );
    }
}
