//! What a guest must have become, computed by running its program alone: no hypervisor, no checkpoint, no time.

use crate::machine::Machine;
use crate::program::Program;

/// A reference run of a guest program.
#[derive(Debug, Clone)]
pub struct Oracle {
    program: Program,
    pages: u64,
    seed: u64,
    target_steps: u64,
    machine: Machine,
}

impl Oracle {
    /// The oracle for a guest booted with these values.
    pub fn new(program: Program, pages: u64, seed: u64, target_steps: u64) -> Self {
        Oracle {
            program,
            pages,
            seed,
            target_steps,
            machine: Machine::boot(program, pages, seed, target_steps),
        }
    }

    /// The digest the guest must have after `steps` steps. Cheap when asked for rising numbers of steps.
    pub fn digest_at(&mut self, steps: u64) -> blake3::Hash {
        self.advance_to(steps);
        self.machine.digest()
    }

    /// Computes up to `steps` steps, from the start if it is beyond them.
    pub fn advance_to(&mut self, steps: u64) {
        if steps < self.machine.steps() {
            self.machine = Machine::boot(self.program, self.pages, self.seed, self.target_steps);
        }
        self.machine.run(steps - self.machine.steps());
    }
}
