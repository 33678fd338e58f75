//! A directory on a local or shared file system. (To come.)

/// To come.
#[derive(Debug)]
pub struct DirectoryMedium {}
