//! Which record may follow which: the state machine of a libxc stream, per kind of guest.
//!
//! ```text
//! static data ──▶ [P2M frames, PV] ──▶ PAGE_DATA… ──▶ machine state ──▶ END
//!                                        ▲                  │
//!                                        └── CHECKPOINT ◀───┘     (checkpointed streams)
//! ```
//! The specification orders only what depends on each other ("Layout"). Beyond that this reader wants pages
//! before the vCPU and HVM records of the same checkpoint, since every saver writes those last, of a guest
//! that stands still. HVM_CONTEXT and HVM_PARAMS come in either order: the specification wants one, Xen writes
//! the other.

use std::collections::BTreeSet;

use crate::error::Fault;
use crate::header::{GuestType, LibxcHeader};
use crate::record::{OPTIONAL, belongs_to, is_vcpu, libxc};

/// What the records since the last CHECKPOINT brought.
#[derive(Debug, Default)]
struct Epoch {
    /// Any record at all.
    begun: bool,
    /// Types seen, by bit.
    seen: u32,
    vcpus: BTreeSet<(u32, u32)>,
    /// A vCPU or HVM record was seen: no more pages.
    frozen: bool,
}

/// Follows a libxc stream record by record.
#[derive(Debug)]
pub(crate) struct Sequence {
    guest: GuestType,
    version: u32,
    /// Types seen that come once in a stream, by bit.
    seen: u32,
    static_done: bool,
    paged: bool,
    epoch: Epoch,
    /// Complete checkpoints so far.
    checkpoints: u64,
}

impl Sequence {
    pub(crate) fn new(header: LibxcHeader) -> Self {
        Sequence {
            guest: header.guest,
            version: header.version,
            seen: 0,
            static_done: false,
            paged: false,
            epoch: Epoch::default(),
            checkpoints: 0,
        }
    }

    /// Complete checkpoints so far.
    pub(crate) fn checkpoints(&self) -> u64 {
        self.checkpoints
    }

    /// Records came since the last CHECKPOINT.
    pub(crate) fn in_epoch(&self) -> bool {
        self.epoch.begun
    }

    /// A record of this type is next; `vcpu` is its vCPU number if [`is_vcpu`].
    pub(crate) fn accept(&mut self, code: u32, vcpu: u32) -> Result<(), Fault> {
        if code & OPTIONAL != 0 {
            self.epoch.begun |= self.paged;
            return Ok(());
        }
        if !belongs_to(code, self.guest) {
            return Err(Fault::OutOfOrder {
                rule: match self.guest {
                    GuestType::Pv => "a PV guest has no such record",
                    GuestType::Hvm => "an HVM guest has no such record",
                },
            });
        }
        match code {
            libxc::X86_PV_INFO | libxc::X86_CPUID_POLICY | libxc::X86_MSR_POLICY | libxc::STATIC_DATA_END => {
                return self.static_data(code);
            }
            libxc::CHECKPOINT_DIRTY_PFN_LIST => {
                return out_of_order(
                    "it travels from a COLO secondary to its primary only, never in an image",
                );
            }
            libxc::END if self.checkpoints > 0 => return Ok(()),
            libxc::END => return self.complete(),
            libxc::CHECKPOINT => return self.checkpoint(),
            _ => {}
        }
        self.leave_static_data(code)?;
        self.epoch.begun = true;
        match code {
            libxc::PAGE_DATA => self.pages(),
            libxc::X86_PV_P2M_FRAMES if self.epoch.frozen => out_of_order("the vCPU records come after it"),
            libxc::X86_PV_P2M_FRAMES => {
                self.seen |= 1 << code;
                Ok(())
            }
            libxc::VERIFY if self.epoch.frozen || !self.paged => {
                out_of_order("it stands among the PAGE_DATA records")
            }
            code if is_vcpu(code) => {
                self.epoch.frozen = true;
                self.epoch.seen |= 1 << code;
                if !self.has(libxc::X86_PV_P2M_FRAMES) {
                    return Err(Fault::Missing {
                        record: "X86_PV_P2M_FRAMES",
                    });
                }
                if self.epoch.vcpus.insert((code, vcpu)) {
                    Ok(())
                } else {
                    Err(Fault::Duplicate)
                }
            }
            // Xen's own converter writes two lists of parameters. As Xen restores them, each adds to those before and
            // replaces what it names again, and the last context counts.
            libxc::HVM_CONTEXT | libxc::HVM_PARAMS => {
                self.epoch.frozen = true;
                self.epoch.seen |= 1 << code;
                Ok(())
            }
            code => once(&mut self.epoch.seen, code),
        }
    }

    fn static_data(&mut self, code: u32) -> Result<(), Fault> {
        if self.static_done {
            return out_of_order("static data comes once, at the start of the stream, up to STATIC_DATA_END");
        }
        if self.version < 3 && code != libxc::X86_PV_INFO {
            return out_of_order("a stream of version 2 has no such record");
        }
        once(&mut self.seen, code)?;
        if code == libxc::STATIC_DATA_END {
            self.end_static_data()?;
        }
        Ok(())
    }

    /// Version 2 has no STATIC_DATA_END: static data ends with the first record of another kind.
    fn leave_static_data(&mut self, code: u32) -> Result<(), Fault> {
        if self.static_done {
            return Ok(());
        }
        if self.version >= 3 {
            return Err(Fault::Missing {
                record: "STATIC_DATA_END",
            });
        }
        // Independent records may come early; only these two close the static data (specification, "v3
        // compat with v2").
        if matches!(code, libxc::X86_PV_P2M_FRAMES | libxc::PAGE_DATA) {
            self.end_static_data()?;
        }
        Ok(())
    }

    fn end_static_data(&mut self) -> Result<(), Fault> {
        if self.guest == GuestType::Pv && !self.has(libxc::X86_PV_INFO) {
            return Err(Fault::Missing {
                record: "X86_PV_INFO",
            });
        }
        self.static_done = true;
        Ok(())
    }

    fn pages(&mut self) -> Result<(), Fault> {
        if self.guest == GuestType::Pv && !self.has(libxc::X86_PV_P2M_FRAMES) {
            return Err(Fault::Missing {
                record: "X86_PV_P2M_FRAMES",
            });
        }
        if self.epoch.frozen {
            return out_of_order("pages come before the vCPU and HVM records of a checkpoint");
        }
        self.paged = true;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Fault> {
        self.complete()?;
        self.checkpoints += 1;
        self.epoch = Epoch::default();
        Ok(())
    }

    /// Everything is there that a restorer needs.
    fn complete(&self) -> Result<(), Fault> {
        let needed = |present: bool, record| {
            if present {
                Ok(())
            } else {
                Err(Fault::Missing { record })
            }
        };
        if self.version >= 3 {
            needed(self.static_done, "STATIC_DATA_END")?;
        }
        if self.guest == GuestType::Pv {
            needed(self.has(libxc::X86_PV_INFO), "X86_PV_INFO")?;
        }
        needed(self.paged, "PAGE_DATA")?;
        let state: &[u32] = match self.guest {
            GuestType::Pv => &[libxc::SHARED_INFO, libxc::X86_PV_VCPU_BASIC],
            GuestType::Hvm => &[libxc::HVM_CONTEXT],
        };
        for &code in state {
            let name = crate::record::record_name(crate::record::Layer::Libxc, code);
            needed(self.epoch.seen >> code & 1 == 1, name)?;
        }
        Ok(())
    }

    fn has(&self, code: u32) -> bool {
        self.seen >> code & 1 == 1
    }
}

fn once(seen: &mut u32, code: u32) -> Result<(), Fault> {
    if *seen >> code & 1 == 1 {
        return Err(Fault::Duplicate);
    }
    *seen |= 1 << code;
    Ok(())
}

fn out_of_order(rule: &'static str) -> Result<(), Fault> {
    Err(Fault::OutOfOrder { rule })
}
