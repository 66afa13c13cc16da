#!/bin/sh
# What is in the environment comes before what is in .env, which stays as it is.
set -u
env "$TAG_VARIABLE=$TO_VERSION" docker compose pull
