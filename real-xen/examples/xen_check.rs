//! Judges the libxc backend on the Xen host it runs on, and takes the measures of Xen's own means. Run in the control
//! domain:
//!
//! ```sh
//! xen_check conformance GUEST     # the guest is destroyed in the end
//! xen_check libxc-live GUEST      # JSON: suspended by xc_domain_save with XCFLAGS_LIVE
//! ```

use std::fs::File;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

use revenant_core::conformance::hypervisor::{Subject, all};
use revenant_core::{Hypervisor, HypervisorError};
use revenant_xen::{KeeperProgram, LiveDomain, keep, libxc_save, open_guest, save_to_stdout};

/// Time for a guest that writes all the time to write something.
const A_WHILE: Duration = Duration::from_millis(1500);

#[derive(Debug)]
struct OneGuest {
    name: String,
}

impl OneGuest {
    fn domain(&self) -> LiveDomain {
        LiveDomain::find(&self.name).expect("the guest is there")
    }
}

impl Subject for OneGuest {
    fn running_guest(&mut self) -> Box<dyn Hypervisor> {
        // A clause that left the guest suspended has called its keeper by that.
        while self.domain().is_suspended().expect("the guest lives") {
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(200));
        open_guest(self.domain(), helper()).expect("open the guest")
    }

    fn blank_guest(&mut self) -> Box<dyn Hypervisor> {
        unreachable!("no live domain can be rewritten, and the capabilities say so")
    }

    fn let_run(&mut self) {
        sleep(A_WHILE);
    }

    fn lose(&mut self, guest: &mut dyn Hypervisor) {
        let destroyed = Command::new("xl").args(["destroy", &self.name]).status();
        assert!(destroyed.expect("run xl").success());
        while !matches!(guest.layout(), Err(HypervisorError::Gone(_))) {
            sleep(Duration::from_millis(20));
        }
    }
}

fn helper() -> KeeperProgram {
    KeeperProgram::this("helper").expect("this program has a path")
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["helper", "save", domain] => save_to_stdout(domain.parse().expect("a number")).expect("save"),
        ["helper", domain] => keep(domain.parse().expect("a number")).expect("keep"),
        ["conformance", name] => {
            all(&mut OneGuest {
                name: name.to_owned(),
            });
            println!("{name} passes");
        }
        ["libxc-live", name] => {
            let domain = LiveDomain::find(name).expect("the guest is there").id();
            let sink = File::create("/dev/null").expect("open /dev/null");
            let seen = libxc_save(domain, true, &sink).expect("save");
            println!(
                "{{\"suspended_s\": {}, \"latency_s\": {}, \"total_s\": {}}}",
                seen.suspended_for.as_secs_f64(),
                seen.latency.as_secs_f64(),
                seen.total.as_secs_f64()
            );
        }
        _ => {
            eprintln!("xen_check conformance|libxc-live GUEST");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
