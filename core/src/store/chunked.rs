//! A growing array that never moves.

const CHUNK: usize = 1 << 14;

/// Like a `Vec`, but growing neither copies nor holds old and new at once: peak memory is what is in it, plus one
/// chunk. For the two tables that grow with guest memory.
#[derive(Debug, Clone)]
pub(super) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
}

impl<T: Copy> Chunked<T> {
    pub(super) fn new() -> Self {
        Chunked { chunks: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.chunks
            .last()
            .map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            _ => {
                // The first chunk grows from little: most stagings of a simulation are small.
                let mut chunk = Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK });
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
    }

    pub(super) fn get(&self, index: usize) -> T {
        self.chunks[index / CHUNK][index % CHUNK]
    }

    pub(super) fn set(&mut self, index: usize, value: T) {
        self.chunks[index / CHUNK][index % CHUNK] = value;
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.chunks.last_mut()?.last_mut()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.chunks.truncate(len.div_ceil(CHUNK));
        if !len.is_multiple_of(CHUNK)
            && let Some(last) = self.chunks.last_mut()
        {
            last.truncate(len % CHUNK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_pushed_across_chunks() {
        let mut array = Chunked::new();
        for i in 0..CHUNK * 2 + 5 {
            assert_eq!(array.len(), i);
            array.push(i);
        }
        array.set(CHUNK, 7);
        assert_eq!(
            (array.get(0), array.get(CHUNK), array.get(CHUNK + 1)),
            (0, 7, CHUNK + 1)
        );
        for len in [CHUNK * 2 + 5, CHUNK * 2, CHUNK + 1, CHUNK, 1, 0] {
            array.truncate(len);
            assert_eq!(array.len(), len);
            assert_eq!(array.last_mut().is_none(), len == 0);
        }
    }
}
