//! How memory and disks share the frame numbers of a checkpoint.
//!
//! ```text
//! 0 ................... 2^48 ................ 2·2^48 ........ 16·2^48 = 2^52
//! memory                block 0, 1, … of disk 1   disk 2 …        end
//! ```

use std::ops::Range;

use crate::units::Pfn;

/// Disks are numbered 1 to this.
pub const DISKS_MAX: u8 = 15;

/// Numbers that each space has (an exbibyte of frames). The last one is never used: so no run of consecutive frames
/// belongs to two spaces.
pub const SPACE_FRAMES: u64 = 1 << SPACE_BITS;

const SPACE_BITS: u32 = 48;

/// What a frame number of a checkpoint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The guest's memory.
    Memory,
    /// A virtual disk, 1 to [`DISKS_MAX`]; its frames are 4 KiB blocks.
    Disk(u8),
}

impl Space {
    /// The frame numbers that belong to it. Those of a disk number above [`DISKS_MAX`] are none.
    pub fn frames(self) -> Range<u64> {
        let number = match self {
            Space::Memory => 0,
            Space::Disk(number) if (1..=DISKS_MAX).contains(&number) => u64::from(number),
            Space::Disk(_) => return 0..0,
        };
        number << SPACE_BITS..(number + 1) << SPACE_BITS
    }
}

/// What a frame number is about, and the frame or block in it. Numbers above [`Pfn::MAX`] are nobody's.
pub fn split(pfn: Pfn) -> Option<(Space, u64)> {
    let index = pfn.0 % SPACE_FRAMES;
    match u8::try_from(pfn.0 >> SPACE_BITS).ok()? {
        0 => Some((Space::Memory, index)),
        number if number <= DISKS_MAX => Some((Space::Disk(number), index)),
        _ => None,
    }
}

/// The frame number of block `block` of disk `disk`, if there can be such a block.
pub fn disk_frame(disk: u8, block: u64) -> Option<Pfn> {
    let frames = Space::Disk(disk).frames();
    (!frames.is_empty() && block < SPACE_FRAMES).then(|| Pfn(frames.start + block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spaces_tile_all_frame_numbers() {
        assert_eq!(Space::Memory.frames(), 0..1 << 48);
        let mut next = Space::Memory.frames().end;
        for disk in 1..=DISKS_MAX {
            let frames = Space::Disk(disk).frames();
            assert_eq!(frames.start, next);
            next = frames.end;
            for block in [0, 1, SPACE_FRAMES - 1] {
                let pfn = disk_frame(disk, block).unwrap();
                assert!(frames.contains(&pfn.0));
                assert_eq!(split(pfn), Some((Space::Disk(disk), block)));
            }
            assert_eq!(disk_frame(disk, SPACE_FRAMES), None);
        }
        assert_eq!(next, Pfn::MAX.0 + 1);
        assert_eq!(split(Pfn(next)), None);
        assert_eq!(split(Pfn(u64::MAX)), None);
        assert_eq!(
            split(Pfn(SPACE_FRAMES - 1)),
            Some((Space::Memory, SPACE_FRAMES - 1))
        );
        assert_eq!((disk_frame(0, 0), disk_frame(16, 0)), (None, None));
    }
}
