//! Locks that a server takes back from a client that it has not heard of for the length of its lease.
//!
//! Of NFS the client goes on as if nothing had happened once the server answers again: it knows that the lock is lost, lets nobody
//! read or write through its descriptor, and says so to nobody who does not try. What is cached needs no trying, and the end
//! of an empty file is; hence the descriptor is one that passes the cache.

use std::fs::File;
use std::io;

use rustix::fs::{NFS_SUPER_MAGIC, OFlags, fcntl_getfl, fcntl_setfl, fstatfs};
use rustix::io::{Errno, pread, retry_on_intr};

/// Makes a lock file's descriptor tell whether the lock is lost; false if it is on a file system whose locks are not lost so.
pub(super) fn prepare(file: &File) -> io::Result<bool> {
    if fstatfs(file)?.f_type != NFS_SUPER_MAGIC {
        return Ok(false);
    }
    fcntl_setfl(file, fcntl_getfl(file)? | OFlags::DIRECT)?;
    Ok(true)
}

/// Whether the server still knows of the lock; asks it. A server that does not answer is waited for.
pub(super) fn is_known(file: &File) -> io::Result<bool> {
    match retry_on_intr(|| pread(file, &mut [0; 1], 0)) {
        Ok(_) => Ok(true),
        Err(Errno::IO) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
