//! Raises this process's soft limit of open files to its hard limit, as any process may for itself. It asks for no more than that and never fails:
//! whoever then runs out of descriptors says so where it happens.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The usual soft limit is 1024, and a fleet of 1,250 nodes needs two connections a node. The soft limit exists for programs that use
/// select(2), which this one does not (0pointer.net/blog/file-descriptor-limits.html); children that this process starts inherit it.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused means that the limit stays as it was.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
