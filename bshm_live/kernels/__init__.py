"""Passes over memory in native code: kernels.cpp, compiled when the package is installed.

On the ground floor, as both the mattes and the composite are made with them; of the
package they know nothing.
"""
