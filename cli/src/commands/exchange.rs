//! Xen save files in and out of a store.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use revenant_core::Store;
use revenant_core::restore::restore_disk;
use revenant_core::store::{CheckpointInfo, CheckpointReader};
use revenant_xen_format::{
    GuestName, ImageSink, ImportOptions, Imported, Trailing, UNNAMED, export as write_save_file,
    import as read_save_file, put_sparse, write_elf, write_raw,
};

use super::init::NAMED_BY_STORE;
use super::names::resolve;
use super::progress::{Counted, bytes_bar};
use super::{WAIT_TO_READ, WAIT_TO_TAKE_IN, open, open_for_writing, open_interruptible, warn_unless_guarded};
use crate::Outcome;
use crate::args::{ExportArgs, ExportFormat, ImportArgs};
use crate::interrupt::Interruptible;
use crate::output::{bytes, counted, escaped, note, print, print_json};
use crate::target::Target;

pub(crate) fn import(args: &ImportArgs) -> Result<Outcome> {
    let input = open_input(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
    let total = input
        .metadata()
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map(|meta| meta.len());
    let wait = args.store.wait.unwrap_or(WAIT_TO_TAKE_IN);
    let (store, made) = open_for_writing(&args.store.store, args.make, NAMED_BY_STORE, |dir| {
        open_interruptible(dir, wait)
    })?;
    let bar = bytes_bar(total, "import");
    let options = ImportOptions {
        name: args.name.clone(),
        strict: args.strict,
        ..ImportOptions::default()
    };
    let input = Counted::new(Interruptible::new(input), bar.clone());
    let imported = read_save_file(input, &store, &options);
    bar.finish_and_clear();
    let imported = imported.with_context(|| format!("cannot import {}", args.file.display()))?;
    made.keep();
    super::after_commit(&store);
    let info = &imported.info;
    tell_of(&imported);
    tell_of_namesakes(&store, &imported)?;
    let told = if args.json {
        print_json(&super::catalogue::info_json(info))
    } else {
        print(&format!(
            "{}  {}  {} ({} zero, {} new), {} stored\n",
            info.id,
            escaped(&info.guest),
            counted(info.pages, "page"),
            info.zero_pages,
            info.new_pages,
            bytes(info.stored_bytes)
        ))
    };
    told.with_context(|| committed(info))?;
    Ok(Outcome::Done)
}

/// What was done although it could not be told where it was to be.
pub(super) fn committed(info: &CheckpointInfo) -> String {
    format!(
        "checkpoint {} was committed, but that could not be told",
        info.id.to_hex()
    )
}

/// What is not as with a plain file of `xl save`.
fn tell_of(imported: &Imported) {
    if let Some(offset) = imported.broke_off_at {
        note(&format!(
            "the stream breaks off at byte {offset}; its last complete checkpoint was taken"
        ));
    }
    if !imported.exact {
        note(
            "the stream repeats pages, or lists them as no guest does; an export will write each once, in order, not the \
             same bytes",
        );
    }
    if let Some(Trailing { offset, zeroes }) = imported.trailing {
        let what = if zeroes { "zeroes" } else { "something else" };
        note(&format!(
            "the stream ends at byte {offset}; what follows there ({what}) was left alone (--strict refuses it)"
        ));
    }
    if let GuestName::Uuid { uuid, fault } = &imported.name {
        let why = fault.map_or_else(
            || "the file names no guest".to_owned(),
            |fault| format!("the guest's name in the file is none for a store: {fault}"),
        );
        note(&format!(
            "{why}; it is called by its UUID, {uuid} (--name sets a name)"
        ));
    }
}

/// Guests that nothing tells apart share their rules of retention.
fn tell_of_namesakes(store: &Store, imported: &Imported) -> Result<()> {
    if imported.name != GuestName::Unknown {
        return Ok(());
    }
    let listed = store.list()?.checkpoints;
    let namesakes = listed
        .iter()
        .filter(|other| other.guest == UNNAMED && other.id != imported.info.id)
        .count();
    let others = match namesakes {
        0 => String::new(),
        count => format!(
            ", as with {} here that may be another's, with which a prune counts it",
            counted(count, "checkpoint")
        ),
    };
    note(&format!(
        "the file does not tell whose it is; the guest is called {UNNAMED:?}{others} (--name sets a name)"
    ));
    Ok(())
}

fn open_input(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    }
    File::open(path)
}

pub(crate) fn export(args: &ExportArgs) -> Result<Outcome> {
    let store = open(&args.store, WAIT_TO_READ)?;
    let _held = store.hold("read the store")?;
    let id = resolve(&store, &args.id)?;
    let mut reader = store.read(id)?;
    warn_unless_guarded(&store);
    let mut target = Target::open(&args.output, args.force, &args.store.store)?;
    let bar = bytes_bar(None, "export");
    let mut sink = Sparse {
        target: &mut target,
        bar: &bar,
    };
    let written = write(&mut reader, args, &mut sink);
    bar.finish_and_clear();
    written.with_context(|| format!("cannot export {id}"))?;
    target.finish()?;
    Ok(Outcome::Done)
}

fn write(reader: &mut CheckpointReader, args: &ExportArgs, sink: &mut Sparse<'_>) -> Result<()> {
    if let Some(disk) = &args.disk {
        restore_disk(reader, disk, |_, blocks| put_sparse(blocks, sink))?;
        return Ok(());
    }
    match args.format {
        ExportFormat::Save => {
            write_save_file(reader, Counted::new(&mut *sink.target, sink.bar.clone()))?;
        }
        ExportFormat::Raw => {
            write_raw(reader, sink)?;
        }
        ExportFormat::Elf => {
            if write_elf(reader, sink)?.vcpus == 0 {
                note(
                    "the checkpoint's records hold no registers in a format that is known: the core has none",
                );
            }
        }
    }
    Ok(())
}

/// A target that leaves out zeroes where it can.
struct Sparse<'a> {
    target: &'a mut Target,
    bar: &'a ProgressBar,
}

impl ImageSink for Sparse<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bar.inc(bytes.len() as u64);
        self.target.write_all(bytes)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.bar.inc(bytes);
        self.target.skip(bytes)
    }
}
