# SPDX-License-Identifier: Apache-2.0
"""A small machine room: network namespaces with real servers, and BPFast in the middle.

Used by the end-to-end tests, the demo and the bench. Everything lives in private mount, PID and
network namespaces (see private.py), so that nothing of the machine is touched and nothing is left
behind, however the run ends.
"""
