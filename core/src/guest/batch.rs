//! Pages on their way, in batches with reused buffers.

use super::super::units::{PAGE_SIZE, Page, Pfn};

/// How many pages one batch carries at most (4 MiB), as in libxc's own stream.
pub const BATCH_PAGES_MAX: usize = 1024;

/// A backend's mark on a frame, carried along and never interpreted by the engine. Zero is an ordinary
/// page; for Xen it is the four-bit page type of the stream (page-table level, pinned).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PageTag(pub u8);

/// Up to [`BATCH_PAGES_MAX`] page frames with their tags and content. Clearing keeps the buffers, so that a
/// long capture allocates once.
#[derive(Debug, Clone, Default)]
pub struct PageBatch {
    pfns: Vec<Pfn>,
    tags: Vec<PageTag>,
    bytes: Vec<u8>,
}

impl PageBatch {
    /// An empty batch; buffers grow at the first use and stay.
    pub fn new() -> Self {
        PageBatch::default()
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.pfns.len()
    }

    /// Holds no page.
    pub fn is_empty(&self) -> bool {
        self.pfns.is_empty()
    }

    /// How many pages still fit.
    pub fn room(&self) -> usize {
        BATCH_PAGES_MAX - self.pfns.len()
    }

    /// Forgets all pages, keeps the buffers.
    pub fn clear(&mut self) {
        self.pfns.clear();
        self.tags.clear();
        self.bytes.clear();
    }

    /// Appends a page by copy.
    ///
    /// # Panics
    /// If the batch is full: the caller asks [`room`](Self::room) first.
    pub fn push(&mut self, pfn: Pfn, tag: PageTag, page: &Page) {
        assert!(self.room() > 0, "a batch holds at most {BATCH_PAGES_MAX} pages");
        self.pfns.push(pfn);
        self.tags.push(tag);
        self.bytes.extend_from_slice(page);
    }

    /// Appends a zeroed page and hands out its bytes to be filled in place.
    ///
    /// # Panics
    /// If the batch is full.
    pub fn push_zeroed(&mut self, pfn: Pfn, tag: PageTag) -> &mut Page {
        self.extend_zeroed(&[pfn], tag)
            .first_chunk_mut()
            .expect("one page was just added")
    }

    /// Appends a run of zeroed pages with one tag and hands out their bytes, `pfns.len() * PAGE_SIZE` of
    /// them in order, for a reader that fills many frames at once.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn extend_zeroed(&mut self, pfns: &[Pfn], tag: PageTag) -> &mut [u8] {
        assert!(
            pfns.len() <= self.room(),
            "a batch holds at most {BATCH_PAGES_MAX} pages"
        );
        let start = self.bytes.len();
        self.pfns.extend_from_slice(pfns);
        self.tags.resize(self.pfns.len(), tag);
        self.bytes.resize(start + pfns.len() * PAGE_SIZE, 0);
        &mut self.bytes[start..]
    }

    /// The frame numbers, in order.
    pub fn pfns(&self) -> &[Pfn] {
        &self.pfns
    }

    /// Content of the page at `index`.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn page(&self, index: usize) -> &Page {
        self.bytes[index * PAGE_SIZE..]
            .first_chunk()
            .expect("the buffer holds a page for every pfn")
    }

    /// Tag of the page at `index`.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn tag(&self, index: usize) -> PageTag {
        self.tags[index]
    }

    /// Changes the tag of the page at `index`.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn set_tag(&mut self, index: usize, tag: PageTag) {
        self.tags[index] = tag;
    }

    /// Content of all pages, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Content of all pages, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Frame number, tag and content of each page.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Pfn, PageTag, &Page)> {
        (0..self.len()).map(|i| (self.pfns[i], self.tags[i], self.page(i)))
    }
}
