#!/usr/bin/perl
# bringup-report: who this machine is, as one JSON document: system, network interfaces with their LLDP neighbours, accelerators on the PCI bus.
#   bringup-report            prints it
#   bringup-report --wait S   prints it once every interface with a link has heard a neighbour, or S seconds after the listener began
#   bringup-report --listen   hears LLDP until it is ended, and keeps what it heard below /run/bringup/lldp; init starts it
# A fact is {"known": VALUE}, "absent" (the machine has no such thing) or {"unknown": {"why": WHY}}. Texts from outside are cut and escaped.
# Perl's core only (Debian's perl-base): no module but strict and warnings.
use strict;
use warnings;

my $HEARD = '/run/bringup/lldp';

# Any bytes to a JSON string; what is not UTF-8 becomes U+FFFD.
sub text {
    my ($bytes) = @_;
    $bytes = substr($bytes, 0, 255);
    my $copy = $bytes;
    if (!utf8::decode($copy)) { $copy = $bytes; $copy =~ s/[^\x00-\x7e]/\x{fffd}/g; }
    my $out = '';
    for my $c (map { ord } split //, $copy) {
        # Perl decodes halves of surrogate pairs and numbers above Unicode's last; JSON has neither (RFC 8259 section 8.2).
        $c = 0xfffd if $c > 0x10ffff || ($c >= 0xd800 && $c <= 0xdfff);
        if ($c > 0xffff) { $c -= 0x10000; $out .= sprintf '\\u%04x\\u%04x', 0xd800 + ($c >> 10), 0xdc00 + ($c & 0x3ff) }
        elsif ($c < 0x20 || $c > 0x7e) { $out .= sprintf '\\u%04x', $c }
        elsif ($c == 0x22 || $c == 0x5c) { $out .= '\\' . chr $c }
        else { $out .= chr $c }
    }
    return "\"$out\"";
}
sub known { return '{"known": ' . $_[0] . '}' }
sub unknown { return '{"unknown": {"why": ' . text($_[0]) . '}}' }

# First line of a small file, or undef with the reason in $!.
sub line {
    my ($path) = @_;
    open(my $file, '<', $path) or return undef;
    my $got = '';
    defined(sysread($file, $got, 65536)) or return undef;
    $got =~ s/\n.*//s;
    $got =~ s/^\s+|\s+$//g;
    return $got;
}
sub fact {
    my ($path) = @_;
    my $got = line($path);
    return unknown("read $path: $!") if !defined $got;
    return length $got ? known(text($got)) : unknown("$path is empty");
}
sub names {
    my ($folder) = @_;
    opendir(my $dir, $folder) or return ();
    return sort grep { !/^\./ } readdir $dir;
}
sub last_part { my $to = readlink $_[0]; return undef if !defined $to; $to =~ s{.*/}{}; return $to }

# --- LLDP (IEEE 802.1AB-2016 clause 8): a list of fields, each 7 bits of kind and 9 bits of length.
sub mac { return join ':', map { sprintf '%02x', $_ } unpack 'C*', $_[0] }
sub address { # one octet of address family (IANA), then the address
    my ($kind, $rest) = (unpack('C', $_[0]), substr $_[0], 1);
    return join '.', unpack 'C4', $rest if $kind == 1 && length $rest == 4;
    return join ':', map { sprintf '%x', $_ } unpack 'n8', $rest if $kind == 2 && length $rest == 16;
    return unpack 'H*', $_[0];
}
# A neighbour as {chassis, port, ttl, …}, or undef when the frame is not whole.
sub neighbour {
    my ($fields) = @_;
    my %seen;
    my @order;
    while (length $fields >= 2) {
        my $head = unpack 'n', $fields;
        my ($kind, $long) = ($head >> 9, $head & 511);
        last if $kind == 0;
        return undef if length($fields) < 2 + $long;
        my $value = substr $fields, 2, $long;
        $fields = substr $fields, 2 + $long;
        push @order, $kind if @order < 3;
        next if exists $seen{$kind} && $kind != 8;
        if ($kind == 1 || $kind == 2) {
            return undef if $long < 2;
            my ($sort, $id) = (unpack('C', $value), substr $value, 1);
            my ($is_mac, $is_address) = $kind == 1 ? ($sort == 4, $sort == 5) : ($sort == 3, $sort == 4);
            $seen{$kind} = $is_mac && length $id == 6 ? mac($id) : $is_address ? address($id) : $id;
        }
        elsif ($kind == 3) { return undef if $long < 2; $seen{3} = unpack 'n', $value }
        elsif ($kind == 4 || $kind == 5 || $kind == 6) { $seen{$kind} = $value }
        elsif ($kind == 8 && !exists $seen{8} && $long >= 2) {
            my $size = unpack 'C', $value;
            $seen{8} = address(substr $value, 1, $size) if $size >= 2 && $size < $long;
        }
    }
    # The first three are chassis, port and time to live, in this order, or it is no LLDP.
    return "@order" eq '1 2 3' ? \%seen : undef;
}
sub neighbour_json {
    my ($n) = @_;
    my @parts = ('"chassis": ' . text($n->{1}), '"port": ' . text($n->{2}));
    my %word = (4 => 'port_description', 5 => 'system_name', 6 => 'system_description', 8 => 'management_address');
    push @parts, "\"$word{$_}\": " . text($n->{$_}) for grep { exists $n->{$_} } 4, 5, 6, 8;
    return '{' . join(', ', @parts) . '}';
}

# Hears on every interface at once. Linux: AF_PACKET 17, SOCK_RAW 3, SOL_PACKET 263, PACKET_ADD_MEMBERSHIP 1, PACKET_MR_MULTICAST 0; frames for
# the three group addresses of LLDP (802.1AB table 7-1) reach us only once a membership asks the card for them.
sub listen_for_ever {
    socket(my $wire, 17, 3, unpack('S', pack('n', 0x88cc))) or die "lldp: socket: $!\n";
    my (%joined, %heard);
    while (1) {
        for my $nic (names('/sys/class/net')) {
            my $index = line("/sys/class/net/$nic/ifindex") or next;
            next if $joined{$index} || !-e "/sys/class/net/$nic/device";
            for my $group ("\x01\x80\xc2\0\0\x0e", "\x01\x80\xc2\0\0\x03", "\x01\x80\xc2\0\0\0") {
                setsockopt($wire, 263, 1, pack('i S S a8', $index, 0, 6, $group)) or warn "lldp: $nic: $!\n";
            }
            $joined{$index} = $nic;
            keep($nic, {});
        }
        # What was heard holds as long as its sender said (802.1AB 9.1.2.2): a cable that was moved is soon forgotten.
        for my $nic (keys %heard) {
            my $all = $heard{$nic};
            my @over = grep { $all->{$_}[1] < time } keys %$all or next;
            delete @$all{@over};
            keep($nic, $all);
        }
        my $ready = '';
        vec($ready, fileno($wire), 1) = 1;
        next if select($ready, undef, undef, 2) <= 0;
        # sockaddr_ll: family, protocol, ifindex, hardware type, packet type (4 is our own), address
        my $from = recv($wire, my $frame, 2048, 0);
        next if !defined $from || length $from < 12;
        my (undef, undef, $index, undef, $type) = unpack 'S S i S C', $from;
        my $nic = $joined{$index};
        next if !defined $nic || $type == 4 || length $frame < 14 || unpack('n', substr $frame, 12, 2) != 0x88cc;
        my $n = neighbour(substr $frame, 14) or next;
        my $all = $heard{$nic} ||= {};
        my $who = "$n->{1}\0$n->{2}";
        if ($n->{3} == 0) { delete $all->{$who} }    # it says good-bye
        elsif (exists $all->{$who} || keys %$all < 8) { $all->{$who} = [neighbour_json($n), time + $n->{3}] }
        keep($nic, $all);
    }
}
sub keep {
    my ($nic, $all) = @_;
    open(my $file, '>', "$HEARD/.new") or return;
    print $file '[', join(', ', map { $all->{$_}[0] } sort keys %$all), ']';
    close($file) && rename("$HEARD/.new", "$HEARD/$nic");
}

# --- The report.
sub lldp {
    my ($nic) = @_;
    my $heard = line("$HEARD/$nic");
    return unknown('nobody listens: ' . (line('/run/bringup/lldp.log') || 'the listener has not begun')) if !defined $heard;
    return known($heard) if $heard ne '[]';
    my $since = (stat "$HEARD/$nic")[9];
    # Neighbours speak every 30 s (802.1AB default): less silence than that says nothing.
    return unknown(sprintf 'nothing was heard in %d s', time - $since);
}
# Waits for neighbours: they may have been silent only because the listener is young.
sub wait_for_lldp {
    my ($seconds) = @_;
    my $began = time;
    while (1) {
        my ($young, $deaf) = (0, 0);
        for my $nic (grep { -e "/sys/class/net/$_/device" } names('/sys/class/net')) {
            next if (line("/sys/class/net/$nic/carrier") // '0') ne '1' || (line("$HEARD/$nic") // '[]') ne '[]';
            $deaf = 1;
            my $since = (stat "$HEARD/$nic")[9];
            $young = 1 if !defined $since || time - $since < $seconds;
        }
        return if !$deaf || !$young || time - $began >= $seconds;
        select(undef, undef, undef, 0.5);
    }
}
sub nic {
    my ($name) = @_;
    my $at = "/sys/class/net/$name";
    my $carrier = line("$at/carrier");
    my $link = !defined $carrier ? unknown("read $at/carrier: $!") : known($carrier eq '1' ? '"up"' : '"down"');
    my $speed = line("$at/speed");
    $speed = defined $speed && $speed =~ /^[1-9][0-9]*$/ ? known($speed) : unknown('the driver does not say');
    my ($pci) = (readlink $at // '') =~ m{.*/([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])/};
    my $driver = last_part("$at/device/driver");
    my $has = line("/run/bringup/net/$name");
    return join ', ', '{"name": ' . text($name), '"mac": ' . fact("$at/address"), '"link": ' . $link, '"speed_mbps": ' . $speed,
        '"pci": ' . (defined $pci ? known(text($pci)) : '"absent"'), '"driver": ' . (defined $driver ? known(text($driver)) : '"absent"'),
        '"address": ' . (defined $has ? known(text($has)) : '"absent"'), '"lldp": ' . lldp($name) . '}';
}
sub link_fact { # `16.0 GT/s PCIe` and `16` as numbers; 0 and 255 lanes and `Unknown` are what the kernel says when it does not know
    my ($path) = @_;
    my $got = line($path);
    return '"absent"' if !defined $got && $! == 2; # ENOENT
    return unknown("read $path: $!") if !defined $got;
    return $got =~ /^([0-9]+(?:\.[0-9]+)?)(?: GT\/s.*)?$/ && $1 > 0 && $got ne '255' ? known($1 + 0) : unknown("$path says $got");
}
sub accelerators {
    my @found;
    for my $bdf (names('/sys/bus/pci/devices')) {
        my $at = "/sys/bus/pci/devices/$bdf";
        my ($class, $vendor, $device) = map { my $got = line("$at/$_") // ''; $got =~ s/^0x//; $got } 'class', 'vendor', 'device';
        # Base classes 03 (display) and 12 (processing accelerator), PCI Code and ID Assignment 1.11; virtual functions are no cards.
        next if $class !~ /^(?:03|12)/ || -e "$at/physfn";
        my $driver = last_part("$at/driver");
        push @found, join ', ', '{"pci": ' . text($bdf), '"id": ' . text("$vendor:$device"), '"class": ' . text($class),
            (map { "\"$_->[0]\": " . link_fact("$at/$_->[1]") } ['speed_gts', 'current_link_speed'], ['max_speed_gts', 'max_link_speed'],
                ['width', 'current_link_width'], ['max_width', 'max_link_width']),
            '"driver": ' . (defined $driver ? known(text($driver)) : '"absent"') . '}';
    }
    return @found;
}
sub report {
    my $dmi = '/sys/class/dmi/id';
    my $uuid = line("$dmi/product_uuid");
    my @nics = grep { -e "/sys/class/net/$_/device" } names('/sys/class/net');
    my ($uptime) = split / /, line('/proc/uptime') // '0';
    my ($grant) = (line('/proc/cmdline') // '') =~ /(?:^| )bringup\.grant=(\S+)/;
    print "{\n  \"format_version\": 1,\n  \"uptime_s\": ", $uptime + 0, ",\n  \"kernel\": ", fact('/proc/sys/kernel/osrelease'),
        ",\n  \"grant\": ", (defined $grant ? known(text($grant)) : '"absent"'),
        ",\n  \"system\": {\"vendor\": ", fact("$dmi/sys_vendor"), ', "product": ', fact("$dmi/product_name"),
        ', "serial": ', fact("$dmi/product_serial"), ', "uuid": ', (defined $uuid ? known(text(lc $uuid)) : unknown("read $dmi/product_uuid: $!")),
        "},\n  \"nics\": [", join(',', map { "\n    " . nic($_) } @nics), "\n  ],\n  \"accelerators\": [",
        join(',', map { "\n    $_" } accelerators()), "\n  ]\n}\n";
}

if (@ARGV == 1 && $ARGV[0] eq '--listen') { listen_for_ever() }
elsif (@ARGV == 2 && $ARGV[0] eq '--wait' && $ARGV[1] =~ /^[0-9]{1,3}$/) { wait_for_lldp($ARGV[1]); report() }
elsif (@ARGV) { die "usage: bringup-report [--listen | --wait SECONDS]\n" }
else { report() }
