# No C types here, but it is compiled.
