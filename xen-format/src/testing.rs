//! Small synthetic save files, made from a seed, for tests that must not need a real one.

use std::collections::BTreeMap;

use revenant_core::PAGE_SIZE;
use revenant_core::units::{Page, ZERO_PAGE};

use crate::header::{GuestType, LibxcHeader, LibxlHeader, XlHeader};
use crate::inspect::Container;
use crate::libvirt::LibvirtHeader;
use crate::page::{FrameRun, PageType};
use crate::record::{Layer, OPTIONAL, libxc, libxl};
use crate::writer::StreamWriter;

/// How a stream comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The guest stood still: every frame once, in ascending order.
    Plain,
    /// The guest ran for some rounds: pages are repeated, a frame vanishes.
    Live,
    /// So many checkpoints follow each other, then END.
    Checkpointed(u64),
}

/// What kind of save file to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// Kind of guest.
    pub guest: GuestType,
    /// Version of the libxc stream, 2 or 3.
    pub version: u32,
    /// Outermost format.
    pub container: Container,
    /// How the stream comes to its end.
    pub shape: Shape,
    /// Frames listed, about half of them with data.
    pub frames: u64,
    /// Frames to a PAGE_DATA record.
    pub per_record: usize,
    /// Everything random follows from this. With an odd one the stream has an optional record; with one that leaves 3 by
    /// 4 an HVM guest has two contexts, of which the last counts, and two lists of parameters.
    pub seed: u64,
}

/// The guest at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Bytes of the file after which this checkpoint is complete.
    pub complete_at: usize,
    /// Every frame that exists, with its type and content (zero for types without data).
    pub memory: BTreeMap<u64, (PageType, Box<Page>)>,
    /// Body of the record that tells one moment from another: SHARED_INFO or HVM_CONTEXT.
    pub mark: Vec<u8>,
}

/// A save file and what is in it.
#[derive(Debug, Clone)]
pub struct SaveFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// The checkpoints it holds, one if the stream is not checkpointed.
    pub moments: Vec<Moment>,
}

/// Name of the domain in every file of xl or libvirt made here.
pub const GUEST_NAME: &str = "synthetic";

impl Recipe {
    /// Makes the file.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    pub fn build(self) -> SaveFile {
        let mut maker = Maker {
            recipe: self,
            random: SplitMix(self.seed),
            out: StreamWriter::new(Vec::new()),
            memory: BTreeMap::new(),
            moments: Vec::new(),
        };
        maker.headers();
        maker.static_data();
        maker.first_pass();
        match self.shape {
            Shape::Plain => maker.state(0),
            Shape::Live => {
                (0..2).for_each(|_| maker.dirty_pass(true));
                maker.state(0);
            }
            Shape::Checkpointed(checkpoints) => {
                for checkpoint in 0..checkpoints {
                    if checkpoint > 0 {
                        maker.dirty_pass(checkpoint % 2 == 0);
                    }
                    maker.state(checkpoint);
                    maker.checkpoint_marks(checkpoint);
                }
            }
        }
        maker.end()
    }

    fn nested(self) -> bool {
        self.container != Container::LibxcStream
    }
}

/// Steele, Lea and Flood's SplitMix64: enough randomness for test data.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() & 0xff) as u8).collect()
    }
}

struct Maker {
    recipe: Recipe,
    random: SplitMix,
    out: StreamWriter<Vec<u8>>,
    memory: BTreeMap<u64, (PageType, Box<Page>)>,
    moments: Vec<Moment>,
}

impl Maker {
    fn record(&mut self, layer: Layer, code: u32, body: &[u8]) {
        self.out
            .record(layer, code, body)
            .expect("memory takes everything");
    }

    fn headers(&mut self) {
        let Recipe {
            guest,
            version,
            container,
            ..
        } = self.recipe;
        if container == Container::XlSaveFile {
            let config = format!("{{\"c_info\": {{\"type\": \"x\", \"name\": \"{GUEST_NAME}\"}}}}\n\0");
            self.out
                .xl(&XlHeader::with_config(config.as_bytes()))
                .expect("memory takes everything");
        }
        if container == Container::LibvirtSaveFile {
            let header =
                LibvirtHeader::with_xml(&format!("<domain type='xen'><name>{GUEST_NAME}</name></domain>"));
            self.out.libvirt(&header).expect("memory takes everything");
        }
        if self.recipe.nested() {
            self.out
                .libxl(LibxlHeader { legacy: false })
                .expect("memory takes everything");
            self.record(Layer::Libxl, libxl::LIBXC_CONTEXT, &[]);
        }
        let header = LibxcHeader {
            version,
            guest,
            xen_major: 4,
            xen_minor: 17,
        };
        self.out.libxc(header).expect("memory takes everything");
    }

    fn static_data(&mut self) {
        let Recipe { guest, version, .. } = self.recipe;
        if guest == GuestType::Pv {
            self.record(Layer::Libxc, libxc::X86_PV_INFO, &[8, 4, 0, 0, 0, 0, 0, 0]);
        }
        if version >= 3 {
            let leaves = self.random.bytes(48);
            self.record(Layer::Libxc, libxc::X86_CPUID_POLICY, &leaves);
            let msrs = self.random.bytes(16);
            self.record(Layer::Libxc, libxc::X86_MSR_POLICY, &msrs);
            self.record(Layer::Libxc, libxc::STATIC_DATA_END, &[]);
        }
        if guest == GuestType::Pv {
            let last = 4 * self.recipe.frames;
            let frames = last / 512 + 1;
            let mut body = [
                0u32.to_le_bytes(),
                u32::try_from(last).expect("small").to_le_bytes(),
            ]
            .concat();
            (0..frames).for_each(|frame| body.extend_from_slice(&(frame + 1).to_le_bytes()));
            self.record(Layer::Libxc, libxc::X86_PV_P2M_FRAMES, &body);
        }
    }

    /// Every frame once: runs of pages, of page tables, of frames without data and of no frames at all.
    fn first_pass(&mut self) {
        let mut list = Vec::new();
        let mut pfn = 0;
        // A guest has some memory.
        let populated = |list: &[(u64, PageType)]| list.iter().any(|(_, kind)| kind.is_populated());
        while (list.len() as u64) < self.recipe.frames || !populated(&list) {
            let code = match (self.random.below(8), self.recipe.guest) {
                (0, GuestType::Pv) => {
                    u8::try_from(self.random.below(2) * 8 + self.random.below(4) + 1).expect("at most 12")
                }
                (1, _) => 0xe,
                (2, _) if self.random.below(4) == 0 => 0xd,
                (3, _) => 0xf,
                _ => 0x0,
            };
            let kind = PageType::new(code).expect("a known type");
            pfn += self.random.below(2) * self.random.below(40);
            for _ in 0..=self.random.below(9) {
                list.push((pfn, kind));
                pfn += 1;
            }
        }
        self.pages(&list);
    }

    /// Some frames again, with new content; with `vanish` one of them has gone.
    fn dirty_pass(&mut self, vanish: bool) {
        let mut list = Vec::new();
        for (&pfn, (kind, _)) in &self.memory {
            match (self.random.below(4), self.random.below(8)) {
                (0, 0) => list.push((pfn, PageType::XALLOC)),
                (0, _) => list.push((pfn, if kind.has_data() { *kind } else { PageType::NOTAB })),
                _ => {}
            }
        }
        if let Some((_, kind)) = list.last_mut().filter(|_| vanish && self.memory.len() > 1) {
            *kind = PageType::XTAB;
        }
        self.pages(&list);
    }

    fn pages(&mut self, list: &[(u64, PageType)]) {
        for list in list.chunks(self.recipe.per_record) {
            let runs: Vec<_> = list
                .iter()
                .map(|&(start, kind)| FrameRun { start, len: 1, kind })
                .collect();
            self.out.begin_pages(&runs).expect("memory takes everything");
            for &(pfn, kind) in list {
                let mut page = Box::new(ZERO_PAGE);
                if kind.has_data() {
                    // Some pages are empty, some alike.
                    let content = self.random.below(6);
                    let mut source = SplitMix(if content == 1 { 1 } else { self.random.next() });
                    if content > 0 {
                        page.as_chunks_mut::<8>()
                            .0
                            .iter_mut()
                            .for_each(|word| *word = source.next().to_le_bytes());
                    }
                    self.out.pages(&page[..]).expect("memory takes everything");
                }
                if kind.is_populated() {
                    self.memory.insert(pfn, (kind, page));
                } else {
                    self.memory.remove(&pfn);
                }
            }
        }
    }

    fn state(&mut self, checkpoint: u64) {
        let mark = match self.recipe.guest {
            GuestType::Pv => self.random.bytes(PAGE_SIZE),
            GuestType::Hvm => self.random.bytes(101),
        };
        let mut tsc = self.random.bytes(24);
        tsc[20..].fill(0);
        self.record(Layer::Libxc, libxc::X86_TSC_INFO, &tsc);
        match self.recipe.guest {
            GuestType::Pv => {
                self.record(Layer::Libxc, libxc::SHARED_INFO, &mark);
                for vcpu in 0..2u32 {
                    for code in [libxc::X86_PV_VCPU_BASIC, libxc::X86_PV_VCPU_EXTENDED] {
                        let body = [&vcpu.to_le_bytes()[..], &[0; 4], &self.random.bytes(24)].concat();
                        self.record(Layer::Libxc, code, &body);
                    }
                }
            }
            GuestType::Hvm => {
                if self.recipe.seed % 4 == 3 {
                    self.record(Layer::Libxc, libxc::HVM_CONTEXT, &[0; 8]);
                }
                self.record(Layer::Libxc, libxc::HVM_CONTEXT, &mark);
                // With a seed of this kind two lists, as Xen's converter writes them, and a context that is none yet.
                let lists = if self.recipe.seed % 4 == 3 { 2 } else { 1 };
                for _ in 0..lists {
                    let param = self.random.bytes(16);
                    let list = [&[1, 0, 0, 0, 0, 0, 0, 0], &param[..]].concat();
                    self.record(Layer::Libxc, libxc::HVM_PARAMS, &list);
                }
            }
        }
        if self.recipe.seed % 2 == 1 {
            self.record(Layer::Libxc, OPTIONAL | 0x77, &checkpoint.to_le_bytes());
        }
        self.moments.push(Moment {
            complete_at: 0,
            memory: self.memory.clone(),
            mark,
        });
    }

    fn emulator(&mut self) {
        if self.recipe.guest == GuestType::Hvm {
            let head = [2, 0, 0, 0, 0, 0, 0, 0];
            self.record(Layer::Libxl, libxl::EMULATOR_XENSTORE_DATA, &head);
            let context = [&head[..], &self.random.bytes(33)].concat();
            self.record(Layer::Libxl, libxl::EMULATOR_CONTEXT, &context);
        }
    }

    fn checkpoint_marks(&mut self, checkpoint: u64) {
        self.record(Layer::Libxc, libxc::CHECKPOINT, &[]);
        if self.recipe.nested() {
            self.emulator();
            self.record(Layer::Libxl, libxl::CHECKPOINT_END, &[]);
        }
        self.complete_last();
        // A COLO primary announces the next checkpoint here.
        if self.recipe.nested() && self.recipe.guest == GuestType::Hvm && checkpoint % 2 == 1 {
            self.record(Layer::Libxl, libxl::CHECKPOINT_STATE, &[0; 4]);
        }
    }

    fn complete_last(&mut self) {
        let offset = usize::try_from(self.out.offset()).expect("small");
        self.moments.last_mut().expect("state came before").complete_at = offset;
    }

    fn end(mut self) -> SaveFile {
        self.record(Layer::Libxc, libxc::END, &[]);
        if self.recipe.nested() {
            if !matches!(self.recipe.shape, Shape::Checkpointed(_)) {
                self.emulator();
            }
            self.record(Layer::Libxl, libxl::END, &[]);
        }
        if !matches!(self.recipe.shape, Shape::Checkpointed(_)) {
            self.complete_last();
        }
        SaveFile {
            bytes: self.out.finish().expect("memory takes everything"),
            moments: self.moments,
        }
    }
}
