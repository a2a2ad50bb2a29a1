extern "C" __global__ void wrong_f32(float* y) {
  y[0] = undeclared;
}
