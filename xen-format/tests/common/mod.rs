//! What several of these tests share.
#![allow(dead_code, reason = "no test uses all of it")]

use proptest::prelude::*;
use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{
    Container, FormatError, GuestType, Item, Layer, StreamReader, StreamWriter, inspect,
};

/// Any recipe of a few frames.
pub(crate) fn recipes(shapes: impl Strategy<Value = Shape>) -> impl Strategy<Value = Recipe> {
    let guests = prop_oneof![Just(GuestType::Pv), Just(GuestType::Hvm)];
    let containers = prop_oneof![
        Just(Container::XlSaveFile),
        Just(Container::LibvirtSaveFile),
        Just(Container::LibxlStream),
        Just(Container::LibxcStream)
    ];
    (
        guests,
        2..=3u32,
        containers,
        shapes,
        1..80u64,
        1..30usize,
        any::<u64>(),
    )
        .prop_map(
            |(guest, version, container, shape, frames, per_record, seed)| Recipe {
                guest,
                version,
                container,
                shape,
                frames,
                per_record,
                seed,
            },
        )
}

/// Any way for a stream to end.
pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Plain),
        Just(Shape::Live),
        (1..4u64).prop_map(Shape::Checkpointed)
    ]
}

/// A small plain stream.
pub(crate) fn recipe(guest: GuestType, container: Container) -> Recipe {
    Recipe {
        guest,
        version: 3,
        container,
        shape: Shape::Plain,
        frames: 20,
        per_record: 8,
        seed: 6,
    }
}

/// The error that reading `bytes` ends with.
pub(crate) fn refusal(bytes: &[u8]) -> FormatError {
    inspect(bytes).expect_err("this must be refused")
}

/// Where the first record of this type starts.
pub(crate) fn offset_of(bytes: &[u8], layer: Layer, code: u32) -> usize {
    let records = inspect(bytes).expect("the file is valid").records;
    let found = records
        .iter()
        .find(|record| (record.layer, record.code) == (layer, code));
    usize::try_from(found.expect("there is such a record").offset).expect("small")
}

/// Reads everything and writes it again, item by item.
pub(crate) fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut reader = StreamReader::new(bytes);
    let mut out = StreamWriter::new(Vec::new());
    let (mut piece, mut runs) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Xl(header) => out.xl(&header),
            Item::Libvirt(header) => out.libvirt(&header),
            Item::Libxl(header) => out.libxl(header),
            Item::Libxc(header) => out.libxc(header),
            Item::Record(record) => out.record(record.layer, record.code, &record.body),
            Item::CheckpointComplete => Ok(()),
            Item::Pages(head) => {
                runs.clear();
                while reader.next_runs(&mut piece)? {
                    runs.append(&mut piece);
                }
                out.begin_pages(&runs).expect("it was short enough to be read");
                let mut pages = vec![0; head.pages as usize * 4096];
                reader.read_pages(&mut pages)?;
                out.pages(&pages)
            }
        }
        .expect("memory takes everything");
    }
    Ok(out.finish().expect("memory takes everything"))
}
