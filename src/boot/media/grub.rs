//! What GRUB is told on a medium. GRUB reads it as a script, so each word stands in single quotes; what no quoting brings through is refused.

use super::super::grant::GrantSpec;

/// Length of the text, filled up with line ends: the same for every node, so that media of one image differ in these bytes alone.
pub(super) const LENGTH: usize = 4096;

/// Why a kernel argument would not reach the kernel through GRUB as it is written: GRUB writes a backslash before each of these
/// (grub-core/loader/i386/linux.c of 2.06 by way of `grub_create_loader_cmdline`).
pub(in super::super) fn argument_fault(argument: &str) -> Option<&'static str> {
    argument.contains(['\'', '"', '\\']).then_some("GRUB puts a backslash before quotes and backslashes")
}

/// Name of an initial RAM disk on the medium.
pub(super) fn initrd(n: usize) -> String {
    format!("INITRD{n:02}")
}

/// The text. `None`: an argument cannot pass, or it is all too long.
pub(super) fn config(spec: &GrantSpec, arguments: &[String]) -> Option<Vec<u8>> {
    if arguments.iter().any(|a| argument_fault(a).is_some() || !a.bytes().all(|b| b.is_ascii_graphic())) {
        return None;
    }
    let words: Vec<String> = arguments.iter().map(|a| format!("'{a}'")).collect();
    let initrds: Vec<String> = (0..spec.initrd.len()).map(|n| format!("/boot/{}", initrd(n).to_ascii_lowercase())).collect();
    let load = if initrds.is_empty() { "true".to_owned() } else { format!("initrd {}", initrds.join(" ")) };
    let mut text = format!(
        "set timeout=0\necho 'bringup: {} boots image {} by {}'\nif linux /boot/kernel {}; then\nif {load}; then\nboot\nfi\nfi\n\
         echo 'bringup: the image could not be started; going on to the next boot device'\nsleep 3\nexit\n",
        spec.node,
        spec.image.short(),
        spec.plan,
        words.join(" ")
    )
    .into_bytes();
    (text.len() <= LENGTH).then(|| {
        text.resize(LENGTH, b'\n');
        text
    })
}
