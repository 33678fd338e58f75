//! Where a trial at level `sim` takes place: a host with its disk, the store on it, and the guest that lives there.

use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use revenant_core::capture::{CaptureRequest, Captured, Method, Session, capture};
use revenant_core::guest::GoneReason;
use revenant_core::restore::restore;
use revenant_core::store::{CheckpointId, CollectOptions, Retention, StoreOptions};
use revenant_core::{Clock, Hypervisor, Store, Timestamp};
use revenant_sim::medium::{Image, WorldPace};
use revenant_sim::{
    CostProfile, GuestId, GuestSpec, Happening, HostId, Incident, SimHypervisor, SimMedium, World,
};

use super::SimError;
use crate::failures::{Failure, FailureKind};
use crate::spec;

/// The guest's name in the catalogue.
const GUEST: &str = "guest";

/// Checkpoints that a prune keeps: as many as the protect loop has candidates.
const KEEP_LAST: u32 = 8;
/// Captures between two prunes. Opening a catalogue takes the longer the more is in it, on real hosts as here.
const PRUNE_EVERY: u32 = 32;

/// Everything in the trial's thread: the worlds run side by side, one a trial.
const STORE_OPTIONS: StoreOptions = StoreOptions {
    workers: 0,
    compression_level: 1,
    dedup_pages_max: 1 << 16,
};

/// A call ended because guest or host was lost, at this instant; or it could not be done at all.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The trial goes on without the guest.
    Lost(GoneReason, Timestamp),
    /// A defect of the machinery.
    Defect(SimError),
}

/// A host, its disk, its store and the guest.
#[derive(Debug)]
pub(super) struct Site {
    world: World,
    host: HostId,
    disk: SimMedium,
    store: Option<Store>,
    boot: GuestSpec,
    guest: GuestId,
    session: Session,
    request: CaptureRequest,
    captures_unpruned: u32,
    /// The failure to come.
    strike: Option<(Timestamp, FailureKind)>,
    /// What a crash leaves of unsynced bytes.
    draws: ChaCha8Rng,
}

impl Site {
    /// A host with an empty store and no guest yet.
    pub(super) fn new(
        costs: &CostProfile,
        checkpoint: &spec::Checkpoint,
        boot: GuestSpec,
        draws: ChaCha8Rng,
    ) -> Result<Site, SimError> {
        let world = World::new(costs.clone());
        let host = world.add_host();
        let disk = plug_in(&world, host, Image::default());
        Store::create(&disk).map_err(SimError::Store)?;
        let request = CaptureRequest {
            method: match checkpoint.method {
                spec::Method::StopAndCopy => Method::StopAndCopy,
                spec::Method::PreCopy => Method::PreCopy,
            },
            incremental: checkpoint.incremental,
            ..CaptureRequest::new(GUEST)
        };
        let session = if checkpoint.incremental {
            Session::continuous()
        } else {
            Session::once()
        };
        let guest = world.create_blank(host, boot.step);
        let store = None;
        let mut site = Site {
            world,
            host,
            disk,
            store,
            boot,
            guest,
            session,
            request,
            captures_unpruned: 0,
            strike: None,
            draws,
        };
        site.store = Some(site.open_store().map_err(SimError::Store)?);
        Ok(site)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// For how long the present guest has executed.
    pub(super) fn worked(&self) -> Duration {
        self.world.worked(self.guest)
    }

    pub(super) fn digest(&self) -> blake3::Hash {
        self.world.digest(self.guest)
    }

    /// Boots the guest; it runs from now on.
    pub(super) fn boot(&mut self) {
        self.replace_guest(self.world.boot(self.host, &self.boot));
    }

    /// The next failure strikes after this much time from now on.
    pub(super) fn expect(&mut self, failure: Failure) {
        self.strike = Some((self.now() + failure.gap, failure.kind));
        self.aim();
    }

    /// Lets the guest work until it finishes, is lost, or `until` has come.
    pub(super) fn run(&mut self, until: Timestamp) -> Happening {
        self.world.run_until(self.guest, Some(until))
    }

    /// Why and when the guest was lost, if it was.
    pub(super) fn lost(&self) -> Option<(GoneReason, Timestamp)> {
        self.world.lost(self.guest)
    }

    /// A failure strikes now.
    pub(super) fn strike(&mut self, kind: FailureKind) {
        self.world.strike(self.incident(kind));
    }

    fn incident(&self, kind: FailureKind) -> Incident {
        match kind {
            FailureKind::GuestCrash => Incident::GuestCrash(self.guest),
            FailureKind::HostLoss => Incident::HostLoss(self.host),
        }
    }

    /// Lets time pass in which no failure strikes: the one to come is put off.
    pub(super) fn wait(&mut self, until: Timestamp) {
        let span = until.since(self.now());
        self.world.clear_agenda();
        self.world.advance(span);
        let to_come = self.strike.filter(|_| self.lost().is_none());
        self.strike = to_come.map(|(at, kind)| (at + span, kind));
    }

    /// Drops old checkpoints now and then, while the guest works on.
    pub(super) fn prune(&mut self) -> Result<(), Trouble> {
        self.captures_unpruned += 1;
        if self.captures_unpruned < PRUNE_EVERY {
            return Ok(());
        }
        self.captures_unpruned = 0;
        let store = self.store.as_ref().ok_or(Trouble::Defect(SimError::NoStore))?;
        let retention = Retention {
            keep_last: Some(KEEP_LAST),
            keep_within: None,
        };
        let pruned = store.prune(&retention, CollectOptions::default());
        pruned
            .map_err(|error| self.trouble(SimError::Store(error)))
            .map(drop)
    }

    /// Takes a checkpoint; the guest runs when this returns.
    pub(super) fn capture(&mut self) -> Result<Captured, Trouble> {
        let mut seam = SimHypervisor::new(&self.world, self.guest);
        let store = self.store.as_ref().ok_or(Trouble::Defect(SimError::NoStore))?;
        let captured = capture(&mut seam, store, &self.world, &mut self.session, &self.request);
        captured.map_err(|error| self.trouble(SimError::Capture(error)))
    }

    /// Makes the host ready for a restart: brings it back if it was lost, with what the crash left of its disk, and puts a
    /// blank guest on it. `failure` is the next one, if the last has struck; it counts from now.
    pub(super) fn prepare(&mut self, failure: Option<Failure>) {
        if !self.world.host_is_up(self.host) {
            self.store = None;
            let draws = &mut self.draws;
            let image = self.disk.crash_image(&mut || draws.next_u64());
            self.world.reboot(self.host);
            self.disk = plug_in(&self.world, self.host, image);
        }
        self.session.reset();
        self.replace_guest(self.world.create_blank(self.host, self.boot.step));
        if let Some(failure) = failure {
            self.expect(failure);
        }
    }

    /// The committed checkpoints, oldest first, as the store has them; opens it where the host came back.
    pub(super) fn catalogue(&mut self) -> Result<Vec<CheckpointId>, Trouble> {
        if self.store.is_none() {
            let opened = self.open_store();
            self.store = Some(opened.map_err(|error| self.trouble(SimError::Store(error)))?);
        }
        let store = self.store.as_ref().ok_or(Trouble::Defect(SimError::NoStore))?;
        let listing = store
            .list()
            .map_err(|error| self.trouble(SimError::Store(error)))?;
        match listing.damaged.first() {
            None => Ok(listing
                .checkpoints
                .iter()
                .map(|checkpoint| checkpoint.id)
                .collect()),
            Some(finding) => Err(Trouble::Defect(SimError::Damaged(Box::new(finding.clone())))),
        }
    }

    /// Restores the blank guest and lets it run.
    pub(super) fn restore(&mut self, from: CheckpointId) -> Result<(), Trouble> {
        let store = self.store.as_ref().ok_or(Trouble::Defect(SimError::NoStore))?;
        let mut seam = SimHypervisor::new(&self.world, self.guest);
        let mut reader = store
            .read(from)
            .map_err(|error| self.trouble(SimError::Store(error)))?;
        restore(&mut reader, &mut seam, &self.world)
            .map_err(|error| self.trouble(SimError::Restore(error)))?;
        seam.resume()
            .map_err(|error| self.trouble(SimError::Resume(error)))
    }

    /// Starts the guest from nothing, which is to take as long as a restart.
    pub(super) fn cold_start(&mut self, takes: Duration) -> Result<(), Trouble> {
        self.world.advance(takes);
        if let Some((reason, at)) = self.world.lost(self.guest) {
            return Err(Trouble::Lost(reason, at));
        }
        self.boot();
        Ok(())
    }

    fn open_store(&self) -> Result<Store, revenant_core::store::StoreError> {
        Store::open(
            Rc::new(self.disk.clone()),
            Rc::new(self.world.clone()),
            STORE_OPTIONS,
        )
    }

    /// An error is the failure's, if there was one.
    fn trouble(&self, error: SimError) -> Trouble {
        match self.world.lost(self.guest) {
            Some((reason, at)) => Trouble::Lost(reason, at),
            None => Trouble::Defect(error),
        }
    }

    fn replace_guest(&mut self, guest: GuestId) {
        self.world.destroy(self.guest);
        self.guest = guest;
        self.aim();
    }

    /// Puts the failure to come on the agenda of the guest that is there now.
    fn aim(&self) {
        self.world.clear_agenda();
        if let Some((at, kind)) = self.strike {
            self.world.schedule(at, self.incident(kind));
        }
    }
}

/// Attaches a disk with this content to a host.
fn plug_in(world: &World, host: HostId, image: Image) -> SimMedium {
    let disk = SimMedium::paced(image, Rc::new(WorldPace::new(world)));
    world.attach(host, Rc::new(disk.clone()));
    disk
}
