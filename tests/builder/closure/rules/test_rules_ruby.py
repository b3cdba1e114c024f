"""The files that a Ruby program implies: in generated trees, and in untaken branches of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import ENV, build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import ruby

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
    assert list_added_paths(tmp_path, [path], ruby.RULES) == expected


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
