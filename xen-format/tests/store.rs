//! Through the store and back: what `xl save` wrote comes back byte for byte, what a living guest's stream holds
//! comes back as the plain stream of its last complete checkpoint.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::rc::Rc;

use common::{offset_of, recipe, recipes};
use proptest::prelude::*;
use revenant_core::clock::SystemClock;
use revenant_core::guest::{MachineKind, StateRecord};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{CheckpointReader, NewCheckpoint, Store, StoreOptions};
use revenant_xen_format::testing::{GUEST_NAME, Moment, Recipe, SaveFile, Shape};
use revenant_xen_format::{
    Container, ExportError, Fault, GuestName, GuestType, ImportError, ImportOptions, Imported, Item, Layer,
    PageType, StreamReader, Trailing, export, import, libxc, libxl, names,
};

/// An empty store and the directory it lives in.
fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let medium = Rc::new(DirectoryMedium::open(dir.path()).unwrap());
    Store::create(&*medium).unwrap();
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    let store = Store::open(medium, Rc::new(SystemClock::new()), options).unwrap();
    (dir, store)
}

fn take_in(store: &Store, bytes: &[u8]) -> Result<(Imported, CheckpointReader), ImportError> {
    let imported = import(bytes, store, &ImportOptions::default())?;
    let reader = store.read(imported.info.id).unwrap();
    Ok((imported, reader))
}

fn give_back(reader: &mut CheckpointReader) -> Vec<u8> {
    let mut out = Vec::new();
    let exported = export(reader, &mut out).unwrap();
    assert_eq!(exported.bytes, out.len() as u64);
    out
}

/// Does the (plain, valid) save file hold just this moment?
fn holds(bytes: &[u8], guest: GuestType, moment: &Moment) -> bool {
    let mut reader = StreamReader::new(bytes);
    let (mut runs, mut marks, mut memory) = (Vec::new(), Vec::new(), std::collections::BTreeMap::new());
    let mark = if guest == GuestType::Pv {
        libxc::SHARED_INFO
    } else {
        libxc::HVM_CONTEXT
    };
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Pages(_) => {
                let mut frames = Vec::new();
                while reader.next_runs(&mut runs).unwrap() {
                    frames.extend(
                        runs.iter()
                            .flat_map(|run| (run.start..run.end()).map(|pfn| (pfn, run.kind))),
                    );
                }
                for (pfn, kind) in frames.into_iter().filter(|(_, kind)| *kind != PageType::XTAB) {
                    let mut page = Box::new([0; 4096]);
                    if kind.has_data() {
                        reader.read_pages(&mut page[..]).unwrap();
                    }
                    assert!(
                        memory.insert(pfn, (kind, page)).is_none(),
                        "a plain stream repeats nothing"
                    );
                }
            }
            Item::Record(record) if (record.layer, record.code) == (Layer::Libxc, mark) => {
                marks.push(record.body);
            }
            Item::CheckpointComplete => panic!("a plain stream has no checkpoints"),
            _ => {}
        }
    }
    memory == moment.memory && marks.last() == Some(&moment.mark)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plain_stream_comes_back_byte_for_byte(recipe in recipes(Just(Shape::Plain))) {
        let (_dir, store) = store();
        let SaveFile { bytes, moments } = recipe.build();
        let (imported, mut reader) = take_in(&store, &bytes).unwrap();
        prop_assert!(imported.exact);
        prop_assert_eq!(imported.bytes_read, bytes.len() as u64);
        prop_assert_eq!(reader.layout().page_count(), moments[0].memory.len() as u64);
        prop_assert!(give_back(&mut reader) == bytes);
        let named = matches!(recipe.container, Container::XlSaveFile | Container::LibvirtSaveFile);
        let named = if named { GUEST_NAME } else { "unnamed" };
        prop_assert_eq!(&imported.info.guest, named);
    }

    #[test]
    fn of_a_live_stream_the_last_version_counts(recipe in recipes(Just(Shape::Live))) {
        let (_dir, store) = store();
        let SaveFile { bytes, moments } = recipe.build();
        let (imported, mut reader) = take_in(&store, &bytes).unwrap();
        let plain = give_back(&mut reader);
        prop_assert!(holds(&plain, recipe.guest, &moments[0]) || imported.exact);
        prop_assert!(!imported.exact || plain == bytes);
        // And that one is stable.
        let (again, mut reader) = take_in(&store, &plain).unwrap();
        prop_assert!(again.exact && give_back(&mut reader) == plain);
    }

    /// Wherever a checkpointed stream breaks off, what was complete by then is there, and nothing else.
    #[test]
    fn the_last_complete_checkpoint_wins(
        recipe in recipes((1..4u64).prop_map(Shape::Checkpointed)),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_dir, store) = store();
        let SaveFile { bytes, moments } = recipe.build();
        let cut = cut.index(bytes.len() + 1);
        match (moments.iter().rposition(|moment| moment.complete_at <= cut), take_in(&store, &bytes[..cut])) {
            (Some(last), Ok((imported, mut reader))) => {
                prop_assert_eq!(imported.checkpoints, last as u64 + 1);
                prop_assert_eq!(imported.broke_off_at, (cut < bytes.len()).then_some(cut as u64));
                prop_assert!(holds(&give_back(&mut reader), recipe.guest, &moments[last]));
            }
            (None, Err(ImportError::Format(error))) => {
                prop_assert_eq!(error.offset, cut as u64);
                prop_assert!(store.list().unwrap().checkpoints.is_empty());
            }
            (expected, got) => prop_assert!(false, "cut at {cut}: {expected:?}, {:?}", got.map(|(i, _)| i)),
        }
    }

    /// Whatever happens to the file: it is refused, leaving nothing behind, or it comes back the same.
    #[test]
    fn damage_is_refused_or_kept(
        recipe in recipes(Just(Shape::Plain)),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let (_dir, store) = store();
        let mut bytes = recipe.build().bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        match take_in(&store, &bytes) {
            Ok((imported, mut reader)) => {
                let back = give_back(&mut reader);
                // A frame number may have become another one's: then the stream repeats a frame.
                let taken = imported.trailing.map_or(bytes.len(), |trailing| usize::try_from(trailing.offset).unwrap());
                prop_assert!(!imported.exact || back == bytes[..taken]);
            }
            Err(ImportError::Format(_)) => prop_assert!(store.list().unwrap().checkpoints.is_empty()),
            Err(ImportError::Store(error)) => prop_assert!(false, "{error}"),
        }
    }
}

/// A checkpointed stream that goes wrong, rather than ending early, is damaged.
#[test]
fn damage_behind_a_complete_checkpoint_is_an_error() {
    let (_dir, store) = store();
    let recipe = Recipe {
        shape: Shape::Checkpointed(2),
        ..recipe(GuestType::Hvm, Container::LibxcStream)
    };
    let SaveFile { mut bytes, moments } = recipe.build();
    bytes[moments[0].complete_at] = 0x7f;
    let Err(ImportError::Format(error)) = take_in(&store, &bytes) else {
        panic!("this must be refused")
    };
    assert_eq!(error.offset, moments[0].complete_at as u64);
    assert!(
        matches!(error.fault, Fault::UnknownMandatory { code: 0x7f }),
        "{error}"
    );
}

#[test]
fn a_larger_record_than_any_saver_writes_is_taken_in_pieces() {
    let (_dir, store) = store();
    let recipe = Recipe {
        frames: 5000,
        per_record: 5000,
        ..recipe(GuestType::Pv, Container::XlSaveFile)
    };
    let bytes = recipe.build().bytes;
    let (imported, mut reader) = take_in(&store, &bytes).unwrap();
    assert!(imported.pages_read > 2 * 1024 && imported.exact);
    assert!(give_back(&mut reader) == bytes);
}

/// A save on a block device: whatever was there before follows it.
#[test]
fn what_follows_the_stream_is_left_alone_and_told_of() {
    let bytes = recipe(GuestType::Hvm, Container::LibvirtSaveFile).build().bytes;
    for (more, zeroes) in [
        (vec![0; 1 << 20], true),
        (vec![0, 7, 0], false),
        (bytes.clone(), false),
    ] {
        let (_dir, store) = store();
        let longer = [bytes.clone(), more].concat();
        let strict = ImportOptions {
            strict: true,
            ..ImportOptions::default()
        };
        let Err(ImportError::Format(error)) = import(longer.as_slice(), &store, &strict) else {
            panic!("this must be refused")
        };
        assert!(matches!(error.fault, Fault::Trailing), "{error}");
        let (imported, mut reader) = take_in(&store, &longer).unwrap();
        let offset = bytes.len() as u64;
        assert_eq!(imported.trailing, Some(Trailing { offset, zeroes }));
        assert!(imported.exact && give_back(&mut reader) == bytes);
    }
}

#[test]
fn the_caller_learns_where_the_name_is_from() {
    let (_dir, store) = store();
    let bytes = recipe(GuestType::Hvm, Container::LibxcStream).build().bytes;
    let (imported, _) = take_in(&store, &bytes).unwrap();
    assert_eq!(imported.name, GuestName::Unknown);
    for name in ["", " ", "a\nb", "a\u{1b}[31m", &"x".repeat(201)] {
        let options = ImportOptions {
            name: Some(name.to_owned()),
            ..ImportOptions::default()
        };
        let Err(ImportError::Store(error)) = import(bytes.as_slice(), &store, &options) else {
            panic!("this must be refused")
        };
        let said = error.to_string();
        assert!(
            said.contains("no name for a guest") && !said.contains(char::is_control),
            "{said}"
        );
    }
    assert_eq!(store.list().unwrap().checkpoints.len(), 1);
}

#[test]
fn what_the_caller_says_goes_before_what_the_file_says() {
    let (_dir, store) = store();
    let bytes = recipe(GuestType::Pv, Container::XlSaveFile).build().bytes;
    let facts = [("source".to_owned(), "a.save".to_owned())].into();
    let options = ImportOptions {
        name: Some("other".to_owned()),
        facts,
        ..ImportOptions::default()
    };
    let info = import(bytes.as_slice(), &store, &options).unwrap().info;
    assert_eq!(
        (info.guest.as_str(), info.machine),
        ("other", MachineKind::new(names::MACHINE_PV))
    );
    assert_eq!(info.facts["source"], "a.save");
    assert_eq!(info.facts["xen version"], "4.17");
}

/// Puts records into a checkpoint as they are and tries to export it.
fn export_of(machine: &str, frames: u64, records: Vec<StateRecord>) -> Result<Vec<u8>, ExportError> {
    let (_dir, store) = store();
    let new = NewCheckpoint {
        guest: "g".to_owned(),
        machine: MachineKind::new(machine),
        base: None,
        facts: std::collections::BTreeMap::new(),
    };
    let mut staging = store.begin(new).unwrap();
    staging
        .put_zero(0..frames, revenant_core::guest::PageTag(0))
        .unwrap();
    for record in records {
        staging.put_record(record).unwrap();
    }
    let id = staging.commit().unwrap().id;
    let mut out = Vec::new();
    export(&mut store.read(id).unwrap(), &mut out).map(|_| out)
}

/// Records of a valid HVM machine, as a live capture would make them: there is no page order.
fn captured() -> Vec<StateRecord> {
    let libxc = |code, body: &[u8]| StateRecord::new(names::record(Layer::Libxc, code), body);
    let header = &recipe(GuestType::Hvm, Container::LibxcStream).build().bytes[..40];
    vec![
        StateRecord::new(names::LIBXC_HEADER, header),
        libxc(libxc::STATIC_DATA_END, &[]),
        libxc(libxc::HVM_CONTEXT, &[1, 2, 3]),
        libxc(libxc::END, &[]),
    ]
}

#[test]
fn a_captured_machine_is_exported_in_the_order_a_restorer_wants() {
    let bytes = export_of(names::MACHINE_HVM, 3, captured()).unwrap();
    let at = |code| offset_of(&bytes, Layer::Libxc, code);
    assert!(
        at(libxc::STATIC_DATA_END) < at(libxc::PAGE_DATA) && at(libxc::PAGE_DATA) < at(libxc::HVM_CONTEXT)
    );
}

#[test]
fn what_makes_no_save_file_is_not_exported() {
    let message = |machine, records| export_of(machine, 3, records).unwrap_err().to_string();
    assert!(message("sim", captured()).contains("machine kind sim, expected xen-pv or xen-hvm"));
    let empty = export_of(names::MACHINE_HVM, 0, captured())
        .unwrap_err()
        .to_string();
    assert!(empty.contains("before any PAGE_DATA"));
    let without = |index: usize| {
        let mut records = captured();
        records.remove(index);
        message(names::MACHINE_HVM, records)
    };
    assert!(without(0).contains("does not stand inside its stream"));
    assert!(without(1).contains("before any STATIC_DATA_END"));
    assert!(without(2).contains("before any HVM_CONTEXT"));
    assert!(without(3).contains("end before the stream does"));
    let with = |name: &str, bytes: &[u8]| {
        let mut records = captured();
        records.insert(3, StateRecord::new(name, bytes));
        message(names::MACHINE_HVM, records)
    };
    assert!(with("vcpu/0", &[]).contains("a save file has no such part"));
    assert!(with(&names::record(Layer::Libxl, libxl::END), &[]).contains("does not stand inside its stream"));
    assert!(
        with(
            &names::record(Layer::Libxc, libxc::HVM_PARAMS),
            &[1, 0, 0, 0, 0, 0, 0, 0]
        )
        .contains("expected 24")
    );
    assert!(with(names::PAGE_ORDER, &[]).contains("it is empty"));
    // A few bytes that list 2^24 frames that there are not, and 2^20 times the same three: each would be written out.
    let absent = [1, 1, 1, 0, 0x8f, 0x80, 0x80, 0x80, 0x01];
    assert!(with(names::PAGE_ORDER, &absent).contains("other frames than the checkpoint has"));
    let again = [&[1, 1, 1, 0, 0x3e][..], &[0, 1, 5, 0x3e].repeat(1 << 20)].concat();
    assert!(with(names::PAGE_ORDER, &again).contains("other frames than the checkpoint has"));
    assert!(with(names::PAGE_ORDER, &[1, 1, 1, 0, 0x20]).contains("other frames than the checkpoint has"));
    assert!(with(names::PAGE_ORDER, &[1, 1, 1, 0, 0x31]).contains("another page type"));
    assert!(with(names::PAGE_ORDER, &[1, 1, 1, 0, 0x30, 9, 1, 0, 0x10]).contains("goes on behind the end"));
}
