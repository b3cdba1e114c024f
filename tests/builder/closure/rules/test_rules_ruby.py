"""The files that a Ruby program implies: in generated trees, and in untaken branches of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import ENV, build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import ruby
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, Pattern, find_matches, is_near
from slimtrace.builder.closure.rules.ruby.ruby_source import read_names
from slimtrace.builder.model import Reason
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

GEMS = "/var/lib/gems/3.1.0"
BUILT = "extensions/x86_64-linux/3.1.0"
DEBIAN = "/usr/share/rubygems-integration/all"
DEBIANS = "/usr/lib/x86_64-linux-gnu/rubygems-integration/3.1.0"
STANDARD = "/usr/lib/ruby/gems/3.1.0/specifications"
GIT = "/app/vendor/ruby/3.1.0/bundler/gems"

WORLD: dict[str, str | bytes | None] = {
    f"{GEMS}/gems/plain-1.0/lib/plain.rb": "",
    f"{GEMS}/gems/plain-1.0/lib/more.rb": "",
    f"{GEMS}/gems/plain-2.0/lib/plain.rb": "",
    f"{GEMS}/specifications/plain-1.0.gemspec": "",
    f"{GEMS}/specifications/plain-2.0.gemspec": "",
    f"{GEMS}/gems/native-0.1-x86_64-linux/lib/native.rb": "",
    f"{GEMS}/specifications/native-0.1-x86_64-linux.gemspec": "",
    f"{GEMS}/{BUILT}/native-0.1-x86_64-linux/gem.build_complete": "",
    f"{GEMS}/{BUILT}/native-0.1-x86_64-linux/native.so": "",
    f"{GEMS}/{BUILT}/native-0.1-x86_64-linux/mkmf.log": "",
    f"{GEMS}/{BUILT}/other-1.0/other.so": "",
    f"{GIT}/edge-0123456789ab/lib/edge.rb": "",
    f"{GIT}/edge-0123456789ab/edge.gemspec": "",
    f"{GIT}/edge-0123456789ab/Rakefile": "",
    f"{GIT}/{BUILT}/edge-0123456789ab/gem.build_complete": "",
    f"{DEBIAN}/specifications/rack-2.2.22.gemspec": "",
    f"{DEBIAN}/specifications/net-http-persistent-4.0.gemspec": "",
    f"{DEBIAN}/specifications/activesupport-6.1.gemspec": "",
    f"{DEBIAN}/specifications/rack-test-1.0.gemspec": "",
    f"{DEBIANS}/specifications/nokogiri-1.13.10.gemspec": "",
    f"{DEBIANS}/{BUILT}/nokogiri-1.13.10/gem.build_complete": "",
    f"{DEBIANS}/{BUILT}/nokogiri-1.13.10/nokogiri/nokogiri.so": "",
    "/usr/lib/ruby/vendor_ruby/rack/utils.rb": "",
    "/usr/lib/ruby/vendor_ruby/net/http/persistent.rb": "",
    "/usr/lib/ruby/vendor_ruby/active_support/all.rb": "",
    "/usr/lib/ruby/vendor_ruby/nokogiri.rb": "",
    "/usr/lib/ruby/3.1.0/json.rb": "",
    f"{STANDARD}/default/json-2.6.1.gemspec": "",
    f"{STANDARD}/default/csv-3.2.2.gemspec": "",
    f"{STANDARD}/rake-13.0.gemspec": "",
}
BROUGHT = {
    f"{GEMS}/gems/plain-1.0/lib/plain.rb": (GEMS, ["specifications/plain-1.0.gemspec"]),
    f"{GEMS}/gems/native-0.1-x86_64-linux/lib/native.rb": (
        GEMS,
        [
            "specifications/native-0.1-x86_64-linux.gemspec",
            f"{BUILT}/native-0.1-x86_64-linux/gem.build_complete",
            f"{BUILT}/native-0.1-x86_64-linux/native.so",
        ],
    ),
    f"{GIT}/edge-0123456789ab/lib/edge.rb": (
        GIT,
        ["edge-0123456789ab/edge.gemspec", f"{BUILT}/edge-0123456789ab/gem.build_complete"],
    ),
    "/usr/lib/ruby/vendor_ruby/rack/utils.rb": (DEBIAN, ["specifications/rack-2.2.22.gemspec"]),
    "/usr/lib/ruby/vendor_ruby/net/http/persistent.rb": (
        DEBIAN,
        ["specifications/net-http-persistent-4.0.gemspec"],
    ),
    "/usr/lib/ruby/vendor_ruby/active_support/all.rb": (
        DEBIAN,
        ["specifications/activesupport-6.1.gemspec"],
    ),
    "/usr/lib/ruby/vendor_ruby/nokogiri.rb": (
        DEBIANS,
        [
            "specifications/nokogiri-1.13.10.gemspec",
            f"{BUILT}/nokogiri-1.13.10/gem.build_complete",
            f"{BUILT}/nokogiri-1.13.10/nokogiri/nokogiri.so",
        ],
    ),
    f"{DEBIANS}/{BUILT}/nokogiri-1.13.10/nokogiri/nokogiri.so": (
        DEBIANS,
        [
            "specifications/nokogiri-1.13.10.gemspec",
            f"{BUILT}/nokogiri-1.13.10/gem.build_complete",
        ],
    ),
    f"{GEMS}/{BUILT}/native-0.1-x86_64-linux/gem.build_complete": (GEMS, []),
    f"{GEMS}/specifications/native-0.1-x86_64-linux.gemspec": (
        GEMS,
        [f"{BUILT}/native-0.1-x86_64-linux/gem.build_complete"],
    ),
    f"{GEMS}/specifications/plain-1.0.gemspec": (GEMS, []),
    f"{GEMS}/gems/plain-1.0": (GEMS, []),
    "/usr/lib/ruby/3.1.0/json.rb": (
        STANDARD,
        ["default/csv-3.2.2.gemspec", "default/json-2.6.1.gemspec"],
    ),
}


@pytest.mark.parametrize("path", BROUGHT)
def test_gemspecs(tmp_path: Path, path: str) -> None:
    make_root(tmp_path, WORLD)
    base, names = BROUGHT[path]
    expected = {f"{base}/{name}": "ruby-gemspec" for name in names}
    rules = [rule for rule in ruby.RULES if rule.reason is Reason.RUBY_GEMSPEC]
    assert list_added_paths(tmp_path, [path], rules) == expected


FEATURES = {
    "require 'a/b'": "a/b",
    'require("a"); Kernel.require "b"; x.require "c"': "a b",
    "autoload :A, 'a'; Shop.autoload(:B, \"b/c\")": "a b/c",
    "load 'a.rb'": "a.rb",
    "%w[a b].each { |name| require name }": "a b",
    "['a', :b].each(&method(:require))": "a b",
    "require 'a' if x; begin; require 'b'; rescue LoadError; end": "a b",
    "# require 'a'\n  # require 'b'": "",
    "=begin\nrequire 'a'\n=end\nrequire 'b'": "b",
    "require 'a'\n__END__\nrequire 'b'": "a",
    "require name; my_require 'b'; @require 'c'": "",
    "x.unicode_normalize(:nfc); pp x; Set.new": "pp set unicode_normalize/normalize",
    "require 'a' + name": "",
}


@pytest.mark.parametrize("source", FEATURES)
def test_features(source: str) -> None:
    names = read_names(source, "/srv/app.rb")
    assert " ".join(sorted(names.features)) == FEATURES[source]


PATHS = {
    "autoload :A, File.expand_path('lib/a', __dir__)": "/srv/lib/a",
    "require File.join(File.dirname(__FILE__), 'lib', name)": f"/srv/lib/{UNKNOWN}",
    'require_relative "jobs/#{name}"': f"/srv/jobs/{UNKNOWN}",
    'Dir["#{__dir__}/plugins/*.rb"].sort.each { |file| require file }': "/srv/plugins/*.rb",
    "TOP = File.expand_path('..', __FILE__)\nDir.glob(File.join(TOP, 'x', '**', '*.{rb,so}'))": (
        "/srv /srv/x/**/*.{rb,so}"
    ),
    "Pathname.new(__dir__).join('views') / 'a.erb'": "/srv/views/a.erb",
    "Pathname(__dir__).parent / 'data'": "/data",
    "@views ||= ::File.join(__dir__, 'views')": "/srv/views",
    "set :views, debug ? File.join(__dir__, 'a') : File.join(__dir__, 'b')": "/srv/a /srv/b",
    "class_eval <<-X, __FILE__, __LINE__ + 1\nX": "",
    "run if __FILE__ == $0": "",
    "File.join(root, 'views'); def (": "",
}


@pytest.mark.parametrize("source", PATHS)
def test_paths_that_are_put_together(source: str) -> None:
    names = read_names(source, "/srv/app.rb")
    assert " ".join(sorted(each.text for each in names.paths)) == PATHS[source]


NEAR = {
    ("/srv/app.rb", "/srv/views"): True,
    ("/srv/app.rb", "/etc/passwd"): False,
    ("/srv/bin/app.rb", "/srv/views"): True,
    ("/usr/local/bin/tool", "/usr/local/share/tool"): True,
    ("/usr/local/bin/tool", "/usr/local/lib"): False,
    ("/opt/shop/lib/a.rb", "/opt/shop/views"): True,
    ("/opt/shop/lib/a.rb", "/opt/other"): False,
    ("/usr/lib/ruby/a.rb", "/usr/bin"): False,
    ("/app.rb", "/views"): True,
    ("/app.rb", "/app.rb"): False,
}


@pytest.mark.parametrize("paths", NEAR)
def test_what_is_near_a_source(paths: tuple[str, str]) -> None:
    assert is_near(*paths) == NEAR[paths]


FITTING = {
    Pattern(f"/srv/jobs/{UNKNOWN}.rb"): "jobs/a.rb jobs/deep/b.rb",
    Pattern("/srv/jobs/*.rb", is_glob=True): "jobs/a.rb",
    Pattern("/srv/jobs/**/*.{rb,txt}", is_glob=True): "jobs/a.rb jobs/a.txt jobs/deep/b.rb",
    Pattern("/srv/jobs/[!b]?txt", is_glob=True): "jobs/a.txt",
    Pattern(f"/{UNKNOWN}/a.rb"): "",
    Pattern(f"/srv/{UNKNOWN}/a.rb"): "",
    Pattern(f"{UNKNOWN}/a.rb"): "",
}


@pytest.mark.parametrize("pattern", FITTING)
def test_what_fits_a_pattern(tmp_path: Path, pattern: Pattern) -> None:
    names = ["jobs/a.rb", "jobs/a.txt", "jobs/deep/b.rb", "other/a.rb"]
    make_root(tmp_path, {f"/srv/{name}": "" for name in names})
    found = [file.removeprefix("/srv/") for file in find_matches(Root(str(tmp_path)), pattern)]
    assert " ".join(sorted(found)) == FITTING[pattern]


STANDARD_RB = "/usr/lib/ruby/3.1.0"


def test_where_features_are_found(tmp_path: Path) -> None:
    """In Ruby's own folders, in the app's, in gems and their compiled halves."""
    gem = f"{GEMS}/gems/plain"
    tree: dict[str, str | bytes | None] = {
        "/usr/bin/ruby": f"\0{STANDARD_RB}\0{STANDARD_RB}/x86_64-linux\0",
        "/srv/app.rb": "$LOAD_PATH.unshift File.join(__dir__, 'more')\nrequire 'shop/first'\n"
        "def late\n require 'json'; require 'native'; require 'extra'; require 'shop/second'\n"
        "require 'plain'; require 'irb'; require \"drb/#{kind}\"; require 'gone'\nend",
        "/srv/lib/shop/first.rb": "",
        "/srv/lib/shop/second.rb": "require_relative 'third'",
        "/srv/lib/shop/third.rb": "",
        "/srv/more/extra.rb": "",
        f"{STANDARD_RB}/json.rb": "require 'irb/tool'; require 'json/ext'",
        f"{STANDARD_RB}/json/ext.rb": "",
        f"{STANDARD_RB}/irb.rb": "",
        f"{STANDARD_RB}/irb/tool.rb": "",
        f"{STANDARD_RB}/drb/unix.rb": "",
        f"{STANDARD_RB}/x86_64-linux/native.so": "\0native/half\0",
        f"{STANDARD_RB}/native/half.rb": "",
        f"{STANDARD_RB}/x86_64-linux/enc/encdb.so": "",
        f"{STANDARD_RB}/x86_64-linux/enc/euc_jp.so": "",
        f"{STANDARD_RB}/x86_64-linux/enc/trans/japanese.so": "",
        f"{gem}-1.9/lib/plain.rb": "",
        f"{gem}-1.10/code/plain.rb": "",
        f"{GEMS}/specifications/plain-1.9.gemspec": "",
        f"{GEMS}/specifications/plain-1.10.gemspec": 's.require_paths = ["code".freeze]',
    }
    make_root(tmp_path, tree)
    encdb = f"{STANDARD_RB}/x86_64-linux/enc/encdb.so"
    touched = ["/usr/bin/ruby", "/srv/app.rb", "/srv/lib/shop/first.rb", encdb]
    found = list_added_paths(tmp_path, touched, ruby.RULES)
    assert {path: reasons.split(",")[0] for path, reasons in found.items()} == {
        "/srv/lib/shop/second.rb": "ruby-require",
        "/srv/lib/shop/third.rb": "ruby-require",
        "/srv/more/extra.rb": "ruby-require",
        f"{STANDARD_RB}/json.rb": "ruby-require",
        f"{STANDARD_RB}/json/ext.rb": "ruby-require",
        f"{STANDARD_RB}/irb.rb": "ruby-require",
        f"{STANDARD_RB}/drb/unix.rb": "ruby-require",
        f"{STANDARD_RB}/x86_64-linux/native.so": "ruby-require",
        f"{STANDARD_RB}/native/half.rb": "ruby-require",
        f"{STANDARD_RB}/x86_64-linux/enc/euc_jp.so": "ruby-encoding",
        f"{STANDARD_RB}/x86_64-linux/enc/trans/japanese.so": "ruby-encoding",
        f"{gem}-1.10/code/plain.rb": "ruby-require",
        f"{GEMS}/specifications/plain-1.10.gemspec": "ruby-gemspec",
    }


SPEC = """
Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = "late", "1.0", "late", ["x"]
  s.require_paths = ["lib"]
end
"""
APP = """
$LOAD_PATH.unshift "#{ENV['GEM_HOME']}/gems/late-1.0/lib"
require "late"
case ARGV[0]
when "gem" then gem "late"
when "spec" then Gem::Specification.find_by_name("late")
when "default" then gem "json"
end
puts "#{ARGV[0]} done"
"""
BRANCHES = ("none", "gem", "spec", "default")


def test_branches_that_the_run_did_not_take(tmp_path: Path) -> None:
    need("ruby")
    tree: dict[str, str | bytes | None] = {
        "/app.rb": APP,
        "/gems/gems/late-1.0/lib/late.rb": "",
        "/gems/specifications/late-1.0.gemspec": SPEC,
        "/gems/specifications/unused-1.0.gemspec": SPEC.replace("late", "unused"),
    }
    make_root(tmp_path, tree)
    ruby_of = ("ruby", "app.rb")
    env = {**ENV, "GEM_HOME": f"{tmp_path}/gems"}
    images = build_images(tmp_path, (*ruby_of, "none"), env)
    outputs = {
        keep: {word: image.read_last_line(*ruby_of, word) for word in BRANCHES}
        for keep, image in images.items()
    }
    assert outputs["closure"] == {word: f"{word} done" for word in BRANCHES}
    works = [word for word in BRANCHES if outputs["touched"][word] == f"{word} done"]
    assert works == ["none", "default"]


LATE = """
$LOAD_PATH.unshift File.join(__dir__, "lib")
autoload :Report, File.expand_path("app/report", __dir__)
ways = {
  "autoload" => -> { Report },
  "csv" => -> { require "csv"; CSV.generate { |csv| csv << [1, 2] } },
  "glob" => -> { Dir[File.join(__dir__, "jobs", "*.rb")].each { |file| require file }; Job },
  "native" => -> { require "bigdecimal"; BigDecimal("1").to_s },
  "own" => -> { require "shop" },
  "template" => -> { File.read(File.join(__dir__, "views", "#{ARGV[0]}.erb")) },
  "transcode" => -> { "\\u3042".encode("Shift_JIS") },
}
puts ARGV.empty? ? "none" : ways.map { |name, way| way.call; name rescue "no-#{name}" }.join(" ")
"""


def test_code_that_is_loaded_late(tmp_path: Path) -> None:
    need("ruby")
    tree: dict[str, str | bytes | None] = {
        "/app.rb": LATE,
        "/app/report.rb": "module Report; end",
        "/jobs/first.rb": "module Job; end",
        "/lib/shop.rb": "",
        "/views/all.erb": "",
    }
    make_root(tmp_path, tree)
    image = build_images(tmp_path, ("ruby", "app.rb"), keeps=("app",))["app"]
    line = image.read_last_line("ruby", "app.rb", "all")
    assert line == "autoload csv glob native own template transcode"
