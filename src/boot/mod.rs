//! The boot server's HTTP half: hands each node its iPXE script, kernel, initrd and image under a single-use grant.
