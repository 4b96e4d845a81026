# Doors for habit: the build itself is meson and ninja (docs/hacking.md).
PREFIX ?= /usr/local

.PHONY: build demo check bench vm install

build:
	tools/install-dependencies build
	tools/configure build
	ninja -C build

demo:
	./demo

check:
	./check

bench: build
	bench/run

vm: build
	tools/install-dependencies vm
	tests/vm/run

install: build
	meson configure build -Dprefix="$(PREFIX)"
	meson install -C build
