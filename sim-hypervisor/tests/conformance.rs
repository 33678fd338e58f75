//! The judge's clauses over the simulated hypervisor, with and without a dirty log.

use std::time::Duration;

use revenant_core::Hypervisor;
use revenant_core::conformance::clock;
use revenant_core::conformance::hypervisor::{Subject, all};
use revenant_sim::{CostProfile, GuestSpec, HostId, Incident, Program, SimHypervisor, World};

const STEP: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Simulated {
    world: World,
    host: HostId,
    program: Program,
    dirty_log: bool,
}

impl Simulated {
    fn seam(&self, guest: revenant_sim::GuestId) -> Box<dyn Hypervisor> {
        Box::new(if self.dirty_log {
            SimHypervisor::new(&self.world, guest)
        } else {
            SimHypervisor::without_dirty_log(&self.world, guest)
        })
    }
}

impl Subject for Simulated {
    fn running_guest(&mut self) -> Box<dyn Hypervisor> {
        let spec = GuestSpec {
            program: self.program,
            pages: 24,
            seed: 5,
            steps: u64::MAX,
            step: STEP,
        };
        self.seam(self.world.boot(self.host, &spec))
    }

    fn blank_guest(&mut self) -> Box<dyn Hypervisor> {
        self.seam(self.world.create_blank(self.host, STEP))
    }

    fn let_run(&mut self) {
        self.world.advance(STEP * 50);
    }

    fn lose(&mut self, _: &mut dyn Hypervisor) {
        self.world.strike(Incident::HostLoss(self.host));
        self.world.reboot(self.host);
    }
}

#[test]
fn every_program_with_and_without_a_dirty_log() {
    for program in Program::ALL {
        for dirty_log in [true, false] {
            let world = World::new(CostProfile::default());
            let host = world.add_host();
            all(&mut Simulated {
                world,
                host,
                program,
                dirty_log,
            });
        }
    }
}

#[test]
fn the_virtual_clock() {
    let world = World::new(CostProfile::default());
    clock::all(&world, || world.advance(STEP));
}
