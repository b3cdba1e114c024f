"""The files that a Perl program implies: in generated trees, and in untaken branches of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import compile_library, make_root
from closure_runs import build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import perl
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.closure.rules.perl.path_evaluation import evaluate_paths
from slimtrace.builder.closure.rules.perl.perl_source import scan_loads, scan_names, strip_source

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = {
    "use A::B;": "A/B.pm",
    "use A::B 1.2 qw(c);": "A/B.pm",
    "if ($x) { require A'B; }": "A/B.pm",
    "no A;": "A.pm",
    "eval { require A; 1 } or die": "A.pm",
    'eval "use A; 1"': "A.pm",
    "require 'a/b.pl';": "a/b.pl",
    'do "a.pl";': "a.pl",
    'do("a.pl");': "a.pl",
    "use parent qw(A::B C);": "A/B.pm C.pm parent.pm",
    "use base 'A', \"B\";": "A.pm B.pm base.pm",
    "use parent -norequire, 'A';": "A.pm parent.pm",
    "extends 'A'; with 'B';": "A.pm B.pm",
    "use if $] < 5.01, 'A';": "A.pm if.pm",
    "print 'x' if $!{ENOENT};": "Errno.pm",
    "print $+{name};": "Tie/Hash/NamedCapture.pm",
    "my @x = glob('*.c');": "File/Glob.pm",
    "STDOUT->autoflush(1);": "IO/File.pm",
    "binmode STDOUT, ':encoding(UTF-8)';": "PerlIO.pm PerlIO/encoding.pm",
    "open my $f, '<', \\$text;": "PerlIO.pm PerlIO/scalar.pm",
    '"\\N{SNOWMAN}"': "_charnames.pm",
    "use 5.010; use v5.36;": "v5.pm",
    "use_module('A::B'); $x->load_class('C');": "A/B.pm",
    "use autouse 'A' => qw(f);": "A.pm autouse.pm",
    "my @x = <*.c>; if ($a < 1 && $b * 2 > 3) {}": "File/Glob.pm",
    "  # use A;": "",
    "\n=pod\n\nuse A;\n\n=cut\n\nuse B;": "B.pm",
    "\n=head1 X\n\nuse A;": "",
    "1;\n__END__\nuse A;": "",
    "1;\n__DATA__\nuse A;": "",
    'require $x; require "$x.pl"; do { 1 };': "",
    "$use A; x->use A; my_use A;": "",
}


@pytest.mark.parametrize("source", SOURCES)
def test_loads(source: str) -> None:
    assert sorted(set(scan_loads(strip_source(source)))) == SOURCES[source].split()


NAMES = {
    "my $s = 'Shop::Late'; load(\"Shop::Other\");": ("Shop::Late Shop::Other", "", ""),
    '"Shop::Plugin::$name"': ("", "Shop::Plugin", ""),
    "'Shop::Plugin::' . ucfirst $name": ("", "Shop::Plugin", ""),
    "package Shop; require_module(__PACKAGE__ . '::Kind::' . $x);": ("", "Shop::Kind", ""),
    "package Shop; use Module::Pluggable require => 1;": ("", "", "Shop::Plugin"),
    "use Module::Pluggable search_path => ['A::B', 'C'];": ("A::B", "", "A::B C"),
    "useall Shop::Job;": ("", "", "Shop::Job"),
    '"$class::name" . "no name: $x"': ("", "", ""),
}


@pytest.mark.parametrize("source", NAMES)
def test_names_that_are_put_together(source: str) -> None:
    names = scan_names(strip_source(source), "/lib/Shop.pm")
    found = (names.modules, names.prefixes, names.namespaces)
    assert tuple(" ".join(sorted(each)) for each in found) == NAMES[source]


PATHS = {
    "use lib 'lib', qw(a b);": ("a b lib", ""),
    'use FindBin; use lib "$FindBin::Bin/../lib";': ("/srv/lib", "/srv/lib"),
    "use lib catdir($FindBin::RealBin, 'x');": ("/srv/bin/x", "/srv/bin/x"),
    "use lib dirname(__FILE__) . '/lib';": ("/srv/bin/lib", "/srv/bin/lib"),
    "use lib File::Spec->catdir(dirname(abs_path(__FILE__)), '..', 'y');": (
        "/srv/y",
        "/srv/bin /srv/bin/app.pl /srv/y",
    ),
    'BEGIN { unshift @INC, "$FindBin::Bin/inc" }': ("/srv/bin/inc", "/srv/bin/inc"),
    'my $top = dirname(__FILE__); my $t = "$top/tpl/$x->{name}[0].tt";': (
        "",
        f"/srv/bin /srv/bin/tpl/{UNKNOWN}.tt",
    ),
    "my $p = path(__FILE__)->parent->child('pub');": ("", "/srv/bin/pub"),
    "my $v = curfile->sibling('views');": ("", "/srv/bin/views"),
    'use lib "$unknown/lib"; my $x = catdir($home, "x");': ("", ""),
}


@pytest.mark.parametrize("source", PATHS)
def test_paths_that_are_put_together(source: str) -> None:
    paths = evaluate_paths(source, "/srv/bin/app.pl", "/srv/bin")
    found = (paths.libraries, {each.text for each in paths.paths})
    assert tuple(" ".join(sorted(each)) for each in found) == PATHS[source]


def test_modules_in_the_roots(tmp_path: Path) -> None:
    """From perl's built-in paths, from PERL5LIB, and from where a module was found."""
    tree: dict[str, str | bytes | None] = {
        "/usr/bin/perl": b"\x7fELF\0/usr/share/perl/5.36\0/usr/share/perl5\0/not/it\0",
        "/app/app": "#!/usr/bin/perl\nuse A; use B; use C; use D; use E;",
        "/usr/share/perl/5.36": "-> 5.36.0",
        "/usr/share/perl/5.36.0/A.pm": "require Deep::Er;",
        "/usr/share/perl/5.36.0/Deep/Er.pm": "use A;",
        "/usr/share/perl5/A.pm": "",
        "/opt/env/B.pm": "",
        "/opt/env/x86_64-linux/C.pm": "",
        "/opt/used/Has/It.pm": "package Has::It;",
        "/opt/used/D.pm": "",
        "/opt/unused/E.pm": "",
        "/usr/share/perl5/F.pm": "",
    }
    make_root(tmp_path, tree)
    touched = ["/usr/bin/perl", "/app/app", "/opt/used/Has/It.pm"]
    brought = (
        "/usr/share/perl/5.36.0/A.pm",
        "/usr/share/perl/5.36.0/Deep/Er.pm",
        "/usr/share/perl5/A.pm",
        "/opt/env/B.pm",
        "/opt/env/x86_64-linux/C.pm",
        "/opt/used/D.pm",
    )
    assert list_added_paths(tmp_path, touched, perl.RULES, {"PERL5LIB": "/opt/env"}) == {
        **dict.fromkeys(brought, "perl-require"),
        "/usr/share/perl/5.36": "symlink",
    }


def test_which_of_two_is_meant(tmp_path: Path) -> None:
    """The file that a run found; else Debian's perl-base comes before perl's library."""
    base, own = "/usr/lib/x86_64-linux-gnu/perl-base", "/usr/share/perl/5.36"
    tree: dict[str, str | bytes | None] = {
        "/usr/bin/perl": f"\0{own}\0{base}\0",
        "/app/app.pl": "use A; use B;",
        **{f"{root}/{name}": "" for root in (base, own) for name in ("A.pm", "B.pm")},
    }
    make_root(tmp_path, tree)
    assert list_added_paths(
        tmp_path, ["/usr/bin/perl", "/app/app.pl", f"{own}/A.pm"], perl.RULES
    ) == {f"{base}/B.pm": "perl-require"}


def test_a_modules_native_half_and_split_files(tmp_path: Path) -> None:
    top = "/opt/lib"
    tree: dict[str, str | bytes | None] = {
        "/opt/A/B.pm": "",
        f"{top}/A/B.pm": "package A::B;",
        f"{top}/auto/A/B/autosplit.ix": "",
        f"{top}/auto/A/B/late.al": "require A::C;",
        f"{top}/auto/A/B/notes.txt": "",
        f"{top}/auto/A/C/C.so": "",
        f"{top}/A/C.pm": "",
        f"{top}/auto/A/D/D.so": "",
        "/usr/lib/libdeep.so.1": "",
    }
    make_root(tmp_path, tree)
    compile_library(tmp_path / "usr/lib/libdeep.so.1", "-Wl,-soname,libdeep.so.1")
    deep = str(tmp_path / "usr/lib/libdeep.so.1")
    compile_library(tmp_path / "opt/lib/auto/A/C/C.so", deep)
    assert list_added_paths(tmp_path, [f"{top}/A/B.pm"], perl.RULES) == {
        f"{top}/auto/A/B/autosplit.ix": "perl-library",
        f"{top}/auto/A/B/late.al": "perl-library",
        f"{top}/A/C.pm": "perl-require",
        f"{top}/auto/A/C/C.so": "perl-library",
        "/usr/lib/libdeep.so.1": "needed-library",
    }


@pytest.mark.parametrize("name", ["Unicode/UCD.pm", "utf8_heavy.pl"])
def test_the_unicode_tables(tmp_path: Path, name: str) -> None:
    top = "/usr/share/perl/5.30"
    tree: dict[str, str | bytes | None] = {
        "/usr/bin/perl": f"\0{top}\0",
        f"{top}/{name}": "",
        f"{top}/unicore/lib/Sc/Grek.pl": "",
        f"{top}/other/x.pl": "",
    }
    make_root(tmp_path, tree)
    assert list_added_paths(tmp_path, ["/usr/bin/perl", f"{top}/{name}"], perl.RULES) == {
        f"{top}/unicore/lib/Sc/Grek.pl": "perl-require"
    }


def test_what_is_named_by_a_part(tmp_path: Path) -> None:
    """``use lib`` from the program's folder; plugins by prefix; names in strings and tables."""
    core = "/usr/share/perl/5.36"
    tree: dict[str, str | bytes | None] = {
        "/usr/bin/perl": f"\0{core}\0/usr/share/perl5\0",
        "/srv/bin/app.pl": 'use FindBin; use lib "$FindBin::Bin/../lib"; use Shop;\n'
        'open my $f, "<", "$FindBin::Bin/../data/$name.txt"; "Test::$x"; \'Kept::Late\';',
        "/srv/lib/Shop.pm": 'package Shop; sub load { require_module("Shop::Plugin::$_[0]") }',
        "/srv/lib/Shop/Plugin/A.pm": "use Deep;",
        "/srv/lib/Shop/Plugin/notes.txt": "",
        "/srv/lib/Deep.pm": "",
        "/srv/data/a.txt": "",
        "/srv/data/a.bin": "",
        f"{core}/Test/More.pm": "",
        f"{core}/Encode.pm": "use Encode::Config;",
        f"{core}/Encode/Config.pm": "our %T = (a => 'Encode::Byte', b => 'CPAN::Meta');",
        f"{core}/Encode/Byte.pm": "",
        f"{core}/CPAN/Meta.pm": "",
        "/usr/share/perl5/Kept/Late.pm": "",
    }
    make_root(tmp_path, tree)
    touched = ["/usr/bin/perl", "/srv/bin/app.pl", f"{core}/Encode.pm"]
    found = list_added_paths(tmp_path, touched, perl.RULES)
    assert {path: reasons.split(",")[0] for path, reasons in found.items()} == {
        "/srv/lib/Shop.pm": "perl-require",
        "/srv/lib/Shop/Plugin/A.pm": "perl-plugin",
        "/srv/lib/Shop/Plugin/notes.txt": "perl-path",
        "/srv/lib/Deep.pm": "perl-require",
        "/srv/data/a.txt": "perl-path",
        "/usr/share/perl5/Kept/Late.pm": "perl-plugin",
        f"{core}/Encode/Config.pm": "perl-require",
        f"{core}/Encode/Byte.pm": "perl-plugin",
    }


APP = r"""#!/usr/bin/perl
use strict;
use warnings;
my $word = $ARGV[0];
if ($word eq 'json') { require JSON::PP; print JSON::PP->new->encode([1]), "\n" }
if ($word eq 'native') { require Digest::SHA; print Digest::SHA::sha1_hex('x'), "\n" }
if ($word eq 'posix') { require POSIX; print POSIX::strftime('%Y', gmtime), "\n" }
if ($word eq 'errno') { $! = 2; print "is missing\n" if $!{ENOENT} }
if ($word eq 'memory') { open my $file, '<', \"text" or die $!; print <$file>, "\n" }
if ($word eq 'layer') { binmode STDOUT, ':encoding(UTF-8)'; print "\x{e9}\n" }
if ($word eq 'unicode') { require Unicode::UCD; print Unicode::UCD::charscript(0x3b1), "\n" }
if ($word eq 'own') { require './late.pl' }
print "$word done\n";
"""
BRANCHES = ("none", "json", "native", "posix", "errno", "memory", "layer", "unicode", "own")


def test_branches_that_the_run_did_not_take(tmp_path: Path) -> None:
    need("perl")
    make_root(tmp_path, {"/app": APP, "/late.pl": "1;"}, **{"/app": 0o755})
    images = build_images(tmp_path, ("./app", "none"))
    outputs = {
        keep: {word: image.read_last_line("./app", word) for word in BRANCHES}
        for keep, image in images.items()
    }
    assert outputs["closure"] == {word: f"{word} done" for word in BRANCHES}
    works = [word for word in BRANCHES if outputs["touched"][word] == f"{word} done"]
    assert works == ["none", "errno"]  # perl loads Errno as soon as it compiles $!{…}


LATE = r"""
use FindBin;
use lib "$FindBin::Bin/../lib";
print("none done\n"), exit if !@ARGV;
my %ways = (
    plugin => sub { my $name = 'First'; eval "require Shop::Plugin::$name" or die $@ },
    codec => sub { require Encode; Encode::encode('shiftjis', "\x{3042}") eq "\x82\xa0" or die },
    data => sub { open my $file, '<', "$FindBin::Bin/../data/$ARGV[0].txt" or die $! },
    driver => sub { require Shop; Shop::load('Second') },
);
print join(' ', map { eval { $ways{$_}->(); $_ } // "no-$_" } sort keys %ways), "\n";
"""


def test_names_of_which_a_part_is_constant_in_a_real_run(tmp_path: Path) -> None:
    need("perl")
    plugin = "package Shop::Plugin::{}; use Digest::SHA; 1;"
    tree: dict[str, str | bytes | None] = {
        "/bin/app.pl": LATE,
        "/lib/Shop.pm": 'package Shop; sub load { eval "require Shop::Plugin::$_[0]" or die } 1;',
        "/lib/Shop/Plugin/First.pm": plugin.format("First"),
        "/lib/Shop/Plugin/Second.pm": plugin.format("Second"),
        "/data/all.txt": "",
    }
    make_root(tmp_path, tree)
    images = build_images(tmp_path, ("perl", "bin/app.pl"), keeps=("app",))
    line = images["app"].read_last_line("perl", "bin/app.pl", "all")
    assert line == "codec data driver plugin"
