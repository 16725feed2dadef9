//! The boot server against curl, a client that others wrote, and against peers that mean harm.

mod claims;
mod files;
mod grants;
mod hostile;
mod record;
mod site;
mod tftp;
mod verb;
