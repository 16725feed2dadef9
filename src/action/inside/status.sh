# How far an installation is: `order …` lines, its state, and whether its process is there.
cd /run/bringup/install 2>/dev/null || { echo none; exit 0; }
[ -s order ] || { echo none; exit 0; }
grep -E '^(plan|image|disk-uuid) ' order
echo "state $(head -n 1 state 2>/dev/null | tr -cd ' -~' | cut -c1-300)"
[ -s pid ] && tr '\0' ' ' <"/proc/$(cat pid)/cmdline" 2>/dev/null | grep -q 'install/installer' && echo alive
true
