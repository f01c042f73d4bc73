"""Image-to-image translation by a conditional GAN (pix2pix), with negative pairs."""
