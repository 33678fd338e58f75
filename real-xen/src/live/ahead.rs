//! Writing ahead of a slow reader.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes handed over at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that wait for the reader: 32 MiB.
const PIECES: usize = 32;

/// Hands bytes to a thread that writes them, so that they are made while their reader is busy with something else.
#[derive(Debug)]
pub(crate) struct Ahead {
    piece: Vec<u8>,
    pieces: Option<SyncSender<Vec<u8>>>,
    /// Written pieces, to be filled again.
    spare: Receiver<Vec<u8>>,
    writer: Option<JoinHandle<io::Result<()>>>,
}

impl Ahead {
    pub(crate) fn new(mut output: impl Write + Send + 'static) -> Self {
        let (pieces, taken) = sync_channel::<Vec<u8>>(PIECES);
        let (given_back, spare) = sync_channel(PIECES);
        let writer = thread::spawn(move || {
            for mut piece in taken {
                output.write_all(&piece)?;
                piece.clear();
                // Nobody may want it any more.
                drop(given_back.try_send(piece));
            }
            output.flush()
        });
        Ahead {
            piece: Vec::with_capacity(PIECE_BYTES),
            pieces: Some(pieces),
            spare,
            writer: Some(writer),
        }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let next = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIECE_BYTES));
        let piece = std::mem::replace(&mut self.piece, next);
        let sent = self
            .pieces
            .as_ref()
            .is_some_and(|pieces| pieces.send(piece).is_ok());
        if sent { Ok(()) } else { self.join() }
    }

    /// Waits for the thread to end; an error is the one it ended with.
    fn join(&mut self) -> io::Result<()> {
        drop(self.pieces.take());
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            // It was joined before, or panicked.
            None | Some(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits until everything is written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.hand_over()?;
        self.join()
    }
}

impl Write for Ahead {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE_BYTES {
            self.hand_over()?;
        }
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Bytes that were taken are on their way; [`finish`](Self::finish) waits for them.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Broken off: what the thread has, it writes or fails to, and ends.
        drop(self.pieces.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order() {
        let (reader, writer) = io::pipe().unwrap();
        let text: Vec<u8> = (0..=250u8).cycle().take(3 * PIECE_BYTES + 17).collect();
        let wanted = text.clone();
        let read = thread::spawn(move || {
            let mut reader = reader;
            let mut all = Vec::new();
            io::Read::read_to_end(&mut reader, &mut all).map(|_| all)
        });
        let mut ahead = Ahead::new(writer);
        ahead.write_all(&text).unwrap();
        ahead.finish().unwrap();
        assert!(read.join().unwrap().unwrap() == wanted);
    }

    #[test]
    fn a_reader_that_goes_away_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut ahead = Ahead::new(writer);
        let written = ahead
            .write_all(&vec![0; 4 * PIECE_BYTES])
            .and_then(|()| ahead.finish());
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
