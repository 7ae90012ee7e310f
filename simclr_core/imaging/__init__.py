"""Operations on batches of images, with parameters of their own for every image."""
