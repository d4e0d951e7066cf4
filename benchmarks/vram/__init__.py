"""The memory that runs really need, measured case by case, and how far the estimate is from it. `README.md` beside this says how."""
