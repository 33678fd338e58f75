//! What takes the space of a store.
//!
//! A page weighs as much as the others of its frame, so what is said of a page is right to within the frame. Costs four
//! bytes for each slot of the store's segments and two bits more for those of one guest and one checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::files::{CHECKPOINTS, SEGMENTS};
use super::frame::FrameEntry;
use super::live::Live;
use super::manifest::Manifest;
use super::segment::{SegmentReader, taken_bytes};
use super::{CheckpointId, CheckpointInfo, Finding, SegmentName, Store, StoreError, entries};

/// What takes the space of a store, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Stored pages that at least one checkpoint needs.
    pub used_bytes: u64,
    /// Of these, those that more than one checkpoint needs.
    pub shared_bytes: u64,
    /// Stored pages that no checkpoint needs, in segments of which something is needed.
    pub unused_bytes: u64,
    /// Headers of segments, and the digests of all pages they ever had.
    pub index_bytes: u64,
    /// Manifests.
    pub manifest_bytes: u64,
    /// Files that no checkpoint needs: segments of which nothing is needed, and what crashes or writers at work left in `tmp`.
    pub remains_bytes: u64,
    /// Guests by name.
    pub guests: BTreeMap<String, GuestUse>,
    /// Checkpoints, oldest first.
    pub checkpoints: Vec<CheckpointUse>,
    /// Damage that was met. What a damaged manifest needs is not known, and counts as needed by nobody; a damaged segment counts
    /// as used.
    pub damaged: Vec<Finding>,
}

/// What a guest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestUse {
    /// Its checkpoints.
    pub checkpoints: u64,
    /// Stored pages and manifests that they need, each counted once.
    pub referenced_bytes: u64,
    /// Of these, what no other guest needs: what would be freed if all of them went.
    pub own_bytes: u64,
}

/// What a checkpoint takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointUse {
    /// The checkpoint.
    pub info: CheckpointInfo,
    /// Stored pages that it needs, each counted once, and its manifest.
    pub referenced_bytes: u64,
    /// Of these, what no other checkpoint needs: what would be freed if it alone went.
    pub own_bytes: u64,
}

/// Who needs a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Nobody,
    /// The checkpoint of this number alone.
    One(u32),
    /// Several, all of the guest of this number.
    OneGuest(u32),
    Several,
}

/// A segment, and who needs each of its slots.
#[derive(Debug)]
struct Tally {
    frames: Vec<FrameEntry>,
    users: Vec<PackedUser>,
}

/// A [`User`] in four bytes: two bits of kind, 30 of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PackedUser(u32);

impl Store {
    /// Finds out what takes the space. Reads every manifest and the footer of every segment, and no pages.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let _lock = self.share("measure the store")?;
        let listing = self.list()?;
        let mut stats = Stats {
            damaged: listing.damaged,
            ..Stats::default()
        };
        let mut needed = BTreeSet::new();
        let mut tallies = Tallies::default();
        // Guest by guest, so that what a guest needs can be counted once without keeping it for all of them.
        let mut by_guest: BTreeMap<String, Vec<CheckpointInfo>> = BTreeMap::new();
        for info in listing.checkpoints {
            by_guest.entry(info.guest.clone()).or_default().push(info);
        }
        for (number, (guest, infos)) in (0..).zip(by_guest) {
            let of_guest = self.count_guest(number, infos, &mut tallies, &mut needed, &mut stats)?;
            stats.guests.insert(guest, of_guest);
        }
        tallies.settle(&mut stats);
        stats.checkpoints.sort_by_key(|used| used.info.age_key());
        self.count_files(&needed, &mut stats)?;
        Ok(stats)
    }

    /// Counts what the checkpoints of a guest need, and notes it in the tallies.
    fn count_guest(
        &self,
        guest: u32,
        infos: Vec<CheckpointInfo>,
        tallies: &mut Tallies,
        needed: &mut BTreeSet<SegmentName>,
        stats: &mut Stats,
    ) -> Result<GuestUse, StoreError> {
        let mut used = GuestUse::default();
        let present = self.medium.list(SEGMENTS)?;
        let mut of_guest = Live::new(present.clone());
        let mut names = BTreeSet::new();
        for info in infos {
            let mut live = Live::new(present.clone());
            let read = Manifest::open(&self.medium, info.id).and_then(|manifest| {
                for run in manifest.body()?.runs() {
                    let run = run?;
                    live.mark(&manifest.head.segments, &run);
                    of_guest.mark(&manifest.head.segments, &run);
                }
                Ok((manifest.len_bytes(), manifest.head.segments))
            });
            let (manifest_bytes, segments) = match read {
                Ok(read) => read,
                Err(StoreError::Damaged(finding)) => {
                    stats.damaged.push(finding.of(info.id));
                    continue;
                }
                // Pruned since the directory was read.
                Err(StoreError::NoSuchCheckpoint(_)) => continue,
                Err(error) => return Err(error),
            };
            let number = u32::try_from(stats.checkpoints.len()).expect("fewer checkpoints than 2^30");
            let mut referenced = 0;
            for &name in &segments {
                self.open_tally(name, tallies, needed, stats)?;
                referenced += tallies.note(name, &live, guest, number);
            }
            names.extend(segments);
            used.checkpoints += 1;
            used.own_bytes += manifest_bytes;
            stats.checkpoints.push(CheckpointUse {
                info,
                referenced_bytes: referenced + manifest_bytes,
                own_bytes: manifest_bytes,
            });
        }
        used.referenced_bytes = used.own_bytes
            + names
                .into_iter()
                .map(|name| tallies.weigh(name, &of_guest))
                .sum::<u64>();
        Ok(used)
    }

    /// Reads the footer of a segment that has not been met before.
    fn open_tally(
        &self,
        name: SegmentName,
        tallies: &mut Tallies,
        needed: &mut BTreeSet<SegmentName>,
        stats: &mut Stats,
    ) -> Result<(), StoreError> {
        if !needed.insert(name) {
            return Ok(());
        }
        match SegmentReader::open(&self.medium, name) {
            Ok(segment) => tallies.add(name, segment, stats),
            Err(StoreError::Damaged(finding)) => stats.damaged.push(*finding),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn count_files(&self, needed: &BTreeSet<SegmentName>, stats: &mut Stats) -> Result<(), StoreError> {
        let ids = entries::contents(&*self.medium, CHECKPOINTS, |name| {
            CheckpointId::from_str(name).ok()
        })?;
        stats.manifest_bytes = ids.own.iter().map(|(_, len_bytes)| len_bytes).sum();
        let tmp = entries::tmp(&*self.medium)?;
        stats.remains_bytes = tmp.own.iter().map(|(_, len_bytes)| len_bytes).sum();
        for (name, len_bytes) in entries::contents(&*self.medium, SEGMENTS, SegmentName::parse)?.own {
            if !needed.contains(&name) {
                stats.remains_bytes += len_bytes;
            }
        }
        Ok(())
    }
}

/// Who needs what of which segment.
#[derive(Debug, Default)]
struct Tallies {
    of: BTreeMap<SegmentName, Tally>,
    /// The guest of each checkpoint, by their numbers.
    guests: Vec<u32>,
}

impl Tallies {
    fn add(&mut self, name: SegmentName, segment: SegmentReader, stats: &mut Stats) {
        let frames = segment.footer.frames;
        let taken: u64 = frames.iter().map(|frame| taken_bytes(frame.len_bytes)).sum();
        stats.index_bytes += segment.file.len_bytes().saturating_sub(taken);
        let users = vec![PackedUser::from(User::Nobody); segment.footer.digests.len()];
        self.of.insert(name, Tally { frames, users });
    }

    /// What the marked pages of a segment weigh.
    fn weigh(&self, name: SegmentName, live: &Live) -> u64 {
        let (Some(tally), Some(slots)) = (self.of.get(&name), live.slots_of(name)) else {
            return 0;
        };
        let weight = |frame: &FrameEntry| {
            let pages = (frame.first_slot..frame.end_slot()).filter(|&slot| slots.contains(slot));
            frame.share_bytes(pages.count())
        };
        tally.frames.iter().map(weight).sum()
    }

    /// Notes that a checkpoint needs the marked pages of a segment; tells what they weigh.
    fn note(&mut self, name: SegmentName, live: &Live, guest: u32, checkpoint: u32) -> u64 {
        self.guests.resize(checkpoint as usize + 1, guest);
        let (Some(tally), Some(slots)) = (self.of.get_mut(&name), live.slots_of(name)) else {
            return 0;
        };
        for (slot, user) in (0..).zip(&mut tally.users) {
            if slots.contains(slot) {
                let now = match User::from(*user) {
                    User::Nobody => User::One(checkpoint),
                    User::One(other) if self.guests[other as usize] == guest => User::OneGuest(guest),
                    User::OneGuest(other) if other == guest => User::OneGuest(guest),
                    _ => User::Several,
                };
                *user = now.into();
            }
        }
        self.weigh(name, live)
    }

    /// Adds up who needs what by himself.
    fn settle(&self, stats: &mut Stats) {
        let mut of_guests = vec![0; self.guests.iter().max().map_or(0, |&last| last as usize + 1)];
        for tally in self.of.values() {
            for frame in &tally.frames {
                let mut users = tally.users[frame.first_slot as usize..frame.end_slot() as usize].to_vec();
                users.sort_unstable();
                let mut needed = 0;
                for same in users.chunk_by(|a, b| a == b) {
                    let bytes = frame.share_bytes(same.len());
                    match User::from(same[0]) {
                        User::Nobody => continue,
                        User::One(checkpoint) => {
                            stats.checkpoints[checkpoint as usize].own_bytes += bytes;
                            of_guests[self.guests[checkpoint as usize] as usize] += bytes;
                        }
                        User::OneGuest(guest) => {
                            of_guests[guest as usize] += bytes;
                            stats.shared_bytes += bytes;
                        }
                        User::Several => stats.shared_bytes += bytes,
                    }
                    needed += same.len();
                }
                let used = frame.share_bytes(needed);
                stats.used_bytes += used;
                stats.unused_bytes += taken_bytes(frame.len_bytes) - used;
            }
        }
        // Guests were numbered in the order of their names.
        for (used, bytes) in stats.guests.values_mut().zip(of_guests) {
            used.own_bytes += bytes;
        }
    }
}

const NUMBER: u32 = (1 << 30) - 1;

impl From<User> for PackedUser {
    fn from(user: User) -> Self {
        PackedUser(match user {
            User::Nobody => 0,
            User::One(number) => 1 << 30 | number,
            User::OneGuest(number) => 2 << 30 | number,
            User::Several => 3 << 30,
        })
    }
}

impl From<PackedUser> for User {
    fn from(PackedUser(packed): PackedUser) -> Self {
        let number = packed & NUMBER;
        match packed >> 30 {
            0 => User::Nobody,
            1 => User::One(number),
            2 => User::OneGuest(number),
            _ => User::Several,
        }
    }
}
