//! Progress on a terminal, silence in a pipe.

use std::io::{self, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::layout::columns_of;

/// Numbers of bytes take up to 50, and a bar of less than 10 tells nothing.
const BAR_COLUMNS_MIN: usize = 60;

/// A bar over bytes on standard error; hidden when that is no terminal. `total` may be unknown.
pub(crate) fn bytes_bar(total: Option<u64>, verb: &'static str) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total).with_style(style(if is_narrow() {
            "{msg} {percent}% {binary_bytes_per_sec} {eta}"
        } else {
            "{msg} [{wide_bar}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}"
        })),
        None => ProgressBar::new_spinner().with_style(style("{msg} {bytes} {binary_bytes_per_sec}")),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_message(verb);
    bar
}

/// A bar over counted things on standard error.
pub(crate) fn count_bar(total: u64, verb: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_style(style("{msg} [{wide_bar}] {pos}/{len} {eta}"));
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_message(verb);
    bar
}

/// Is there no room on the terminal for a bar beside the numbers?
fn is_narrow() -> bool {
    columns_of(io::stderr()).is_some_and(|columns| columns < BAR_COLUMNS_MIN)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template is a constant")
        .progress_chars("=> ")
}

/// Counts what passes through onto a bar.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    inner: T,
    bar: ProgressBar,
}

impl<T> Counted<T> {
    pub(crate) fn new(inner: T, bar: ProgressBar) -> Self {
        Counted { inner, bar }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.bar.inc(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
