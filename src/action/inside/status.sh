# How far an installation is: what it was told, its state, and whether its process is there.
cd /run/bringup/install 2>/dev/null && [ -s order ] || { echo none && exit 0; }
grep -E '^(plan|image|disk-uuid) ' order
echo "state $(head -n 1 state 2>/dev/null | tr -cd ' -~' | cut -c1-300)"
grep -q install/installer "/proc/$(head -n 1 pid)/cmdline" 2>/dev/null && echo alive
echo whole
