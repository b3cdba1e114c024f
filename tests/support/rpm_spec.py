"""The spec of an RPM package that tests build."""

from __future__ import annotations

SPEC = """
Name: tiny
Epoch: 7
Version: 1.2
Release: 3
Summary: tiny
License: MIT
BuildArch: noarch
%description
tiny
%install
mkdir -p %{buildroot}/usr/share/tiny %{buildroot}/usr/bin
echo a > %{buildroot}/usr/share/tiny/a
echo b > %{buildroot}/usr/bin/tiny
%files
/usr/bin/tiny
/usr/share/tiny
"""
