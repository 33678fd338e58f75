//! Xen save files in and out of a store.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use revenant_xen_format::{ImportOptions, export as write_save_file, import as read_save_file};

use super::progress::{Counted, bytes_bar};
use super::{open_or_create_store, open_store};
use crate::Outcome;
use crate::args::{ExportArgs, ImportArgs};
use crate::output::{bytes, print, print_json};

pub(crate) fn import(args: &ImportArgs) -> Result<Outcome> {
    let (input, total): (Box<dyn Read>, _) = if args.file == Path::new("-") {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
        let len = file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|meta| meta.len());
        (Box::new(file), len)
    };
    let store = open_or_create_store(&args.store.store)?;
    let bar = bytes_bar(total, "import");
    let options = ImportOptions {
        name: args.name.clone(),
        ..ImportOptions::default()
    };
    let imported = read_save_file(Counted::new(input, bar.clone()), &store, &options);
    bar.finish_and_clear();
    let imported = imported.with_context(|| format!("cannot import {}", args.file.display()))?;
    let info = &imported.info;
    if let Some(offset) = imported.broke_off_at {
        eprintln!("note: the stream breaks off at byte {offset}; its last complete checkpoint was taken");
    }
    if !imported.exact {
        eprintln!("note: the stream repeats pages; an export will write each once, not the same bytes");
    }
    if args.json {
        print_json(&super::catalogue::info_json(info))?;
    } else {
        print(&format!(
            "{}  {}  {} pages ({} zero, {} new), {} stored\n",
            info.id,
            info.guest,
            info.pages,
            info.zero_pages,
            info.new_pages,
            bytes(info.stored_bytes)
        ))?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn export(args: &ExportArgs) -> Result<Outcome> {
    let store = open_store(&args.store.store)?;
    let id = store.resolve(&args.id)?;
    let mut reader = store.read(id)?;
    let about = format!("cannot export {id}");
    if args.output == Path::new("-") {
        let bar = bytes_bar(None, "export");
        // Not through `io::stdout`, which would look for the ends of lines in it.
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        write_save_file(&mut reader, Counted::new(output, bar.clone())).context(about)?;
        bar.finish_and_clear();
        return Ok(Outcome::Done);
    }
    if args.output.exists() && !args.force {
        bail!("{} exists (give --force to replace it)", args.output.display());
    }
    let staged = StagedFile::create(&args.output)?;
    let bar = bytes_bar(None, "export");
    write_save_file(&mut reader, staged.writer(bar.clone())).context(about)?;
    bar.finish_and_clear();
    staged.publish()?;
    Ok(Outcome::Done)
}

/// A file that gets its name only when it is whole and durable: a failed export must not cost the user the save
/// file that had the name before.
struct StagedFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl StagedFile {
    fn create(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .with_context(|| format!("{} names no file", target.display()))?;
        let mut temporary_name = std::ffi::OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}.partial", process::id()));
        let temporary = target.with_file_name(temporary_name);
        let file =
            File::create_new(&temporary).with_context(|| format!("cannot create {}", temporary.display()))?;
        Ok(StagedFile {
            file,
            temporary,
            target: target.to_owned(),
            published: false,
        })
    }

    fn writer(&self, bar: ProgressBar) -> impl Write {
        Counted::new(&self.file, bar)
    }

    fn publish(mut self) -> Result<()> {
        self.file
            .sync_all()
            .with_context(|| format!("cannot sync {}", self.temporary.display()))?;
        std::fs::rename(&self.temporary, &self.target)
            .with_context(|| format!("cannot name {}", self.target.display()))?;
        self.published = true;
        let parent = self
            .target
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .with_context(|| format!("cannot sync {}", parent.display()))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: a leftover costs space and is plainly named.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
